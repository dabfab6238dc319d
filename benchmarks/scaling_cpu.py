"""What 1, 2 and 4 processes of this machine's CPU measure, and the counts of `scaling.py`.

`python -m benchmarks.scaling --measure` starts them by torchrun, with gloo. Bytes are counted where
they are sent and do not depend on the machine. Times are medians over steps, relative to one
process: processor seconds of a process, which do not depend on the number of cores, and wall-clock
seconds, which do where processes share cores.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist

from pdeops.batch import Batch
from pdeops.compare.tables import markdown_table, write_csv
from pdeops.domain import Boundary, Grid
from pdeops.kernels.runtime.slabs import Slabs
from pdeops.models.operators.fno import FNO
from pdeops.nn.slabs import split
from pdeops.training import TrainingOptions, distributed
from pdeops.training.learner import Learner
from pdeops.training.optim import AdamW, Constant

from .bench import RESULTS, machine
from .scaling import Layout, Machine, Model, compute_seconds, output_bytes, slab_bytes

MODEL = Model(d=2, n=128, c=24, m=16)
STEPS = 12
KINDS = ("samples, weak", "samples, strong", "slabs, strong", "divided weights, weak")


def layout_of(kind: str, processes: int) -> Layout:
    """Four samples, per process if weak, else of all."""
    if kind == "slabs, strong":
        return Layout(processes, 4, processes)
    batch = 4 if "weak" in kind else 4 // processes
    return Layout(processes, batch, shard="divided" in kind)


def worker(kind: str) -> None:
    """Train on all processes, and print this process's figures on the first."""
    torch.set_num_threads(1)
    with distributed.process_group("cpu") as device:
        layout = layout_of(kind, distributed.world_size())
        with distributed.teams(layout.slabs):
            found = trained(layout, device)
            if distributed.is_main():
                print(json.dumps(found))


def trained(layout: Layout, device: torch.device) -> dict[str, float]:
    """Seconds of a step, and the bytes that this process sends in one."""
    torch.manual_seed(0)
    grid = Grid((MODEL.n,) * MODEL.d, boundary=Boundary.PERIODIC)
    model = FNO(
        1, 1, grid, n_modes=(MODEL.m,) * MODEL.d, hidden_channels=MODEL.c, mlp_channels=MODEL.c
    )
    slabs = None
    if distributed.team() is not None:
        slabs = Slabs(distributed.team())
        split(model, slabs)
    total = layout.batch * distributed.num_teams()
    learner = Learner(
        model,
        lambda net, batch: (net(batch.input) - batch.target).square().mean(),
        options=TrainingOptions(shard=layout.shard),
        optimizer=AdamW(),
        schedule=Constant(),
        total_steps=STEPS,
        device=device,
    )
    x = torch.randn(layout.batch, 1, *grid.shape)
    batch = Batch(input=x, target=x)
    summed = count_reduced()
    wall, processor = [], []
    for _ in range(STEPS):
        before = slabs.num_bytes if slabs else 0, summed[0]
        start = time.perf_counter(), time.process_time()
        learner.gradients(batch, total)
        learner.update(learner.gradient_norm())
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return {
        "wall": median(wall[2:]),
        "processor": median(processor[2:]),
        "modes_bytes": (slabs.num_bytes if slabs else 0) - before[0],
        "summed_bytes": summed[0] - before[1],
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def count_reduced() -> list[int]:
    """A list whose entry grows by the bytes of every all-reduce from now on."""
    counted, reduce = [0], dist.all_reduce

    def counting(tensor: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        counted[0] += tensor.nbytes
        return reduce(tensor, *arguments, **options)

    dist.all_reduce = counting
    return counted


def measure() -> None:
    """Run all layouts, write results/scaling_cpu.csv and print a table."""
    table = []
    one = run(KINDS[0], 1)  # the same for all
    for kind in KINDS:
        for processes in (1, 2, 4):
            found = one if processes == 1 else run(kind, processes)
            layout = layout_of(kind, processes)
            alone = compute_seconds(MODEL, layout_of(kind, 1), Machine())
            table.append(
                {
                    "study": kind,
                    "processes": processes,
                    "batch": layout.batch,
                    "processor_s": f"{found['processor']:.4f}",
                    "wall_s": f"{found['wall']:.4f}",
                    "work_counted": f"{compute_seconds(MODEL, layout, Machine()) / alone:.3f}",
                    "processor_ratio": f"{found['processor'] / one['processor']:.3f}",
                    "wall_ratio": f"{found['wall'] / one['wall']:.3f}",
                    "modes_bytes_counted": round(bytes_of_first(layout)),
                    "modes_bytes_sent": round(found["modes_bytes"]),
                    "gradient_bytes_counted": 4 * MODEL.num_parameters,
                    "gradient_bytes_summed": round(found["summed_bytes"]),
                    **machine(),
                }
            )
    write_csv(RESULTS / "scaling_cpu.csv", table)
    names = [k for k in table[0] if k not in machine()]
    print(markdown_table(names, [[row[k] for k in names] for row in table]))


def bytes_of_first(layout: Layout) -> float:
    """Bytes that the first process sends in a step; `slab_bytes` is the mean over processes. It
    has k of K modes, of which it sends K - k in one direction and k to each other in the other.
    """
    P, K = layout.slabs, MODEL.modes_of_others
    k = K // P
    relative = ((K - k) + (P - 1) * k) / (2 * K * (1 - 1 / P)) if P > 1 else 1.0
    return slab_bytes(MODEL, layout) * relative + output_bytes(MODEL, layout)


def run(kind: str, processes: int) -> dict[str, float]:
    """The figures of one process of `processes`."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "benchmarks.scaling_cpu", kind],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    if done.returncode:
        raise RuntimeError(f"{kind} on {processes} processes failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    worker(sys.argv[1])
