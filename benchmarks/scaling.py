"""python -m benchmarks.scaling: seconds of a training step on 8, 64 and 512 GPUs, on paper.

Counts the bytes, operations and messages of a step (forward, backward, AdamW, float32) of an
FNO on each GPU, and divides by the rates of `Machine`. Nothing overlaps: the exchange of
gradients follows the backward pass, as in `training/distributed.py`. The counts are those of
`kernels/fno/composed.py`, operation by operation, so kernels that fuse them do better.

Three ways to divide the work: samples (weights copied), samples with weights divided (FSDP2), and
slabs (fields divided). Weak scaling: the work of a GPU stays; strong scaling: the whole stays.

Writes results/scaling.csv. --measure trains on 1, 2 and 4 processes of this machine's CPU instead,
compares the bytes that they send with the counts, and writes results/scaling_cpu.csv.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pdeops.compare.tables import markdown_table, seconds_text, write_csv

from .bench import RESULTS

REAL = 4  # bytes of a float32
PER_NODE = 8  # GPUs that NVLink connects


@dataclass(frozen=True)
class Machine:
    """Rates that a program reaches, per GPU; the defaults are an H200's data sheet times `share`.

    Attributes:
        memory, inside, between: bytes per second from memory, to GPUs of the same node (NVLink, one
            way), and to other nodes.
        flops: operations per second of products of matrices (TF32).
        share: part of the memory's and the products' rate that is reached.
        latency_inside, latency_between: seconds of a message.
        capacity: bytes of memory.
    """

    memory: float = 4.8e12
    inside: float = 450e9
    between: float = 50e9
    flops: float = 495e12
    share: float = 0.7
    latency_inside: float = 5e-6
    latency_between: float = 15e-6
    capacity: float = 141e9


@dataclass(frozen=True)
class Model:
    """An FNO on n^d nodes: c channels, as many in the pointwise networks, m modes per axis, L
    layers; one channel in and out, d position channels."""

    d: int
    n: int
    c: int
    m: int
    L: int = 4

    @property
    def nodes(self) -> int:
        return self.n**self.d

    @property
    def modes_of_others(self) -> int:
        """Kept modes of all axes but the first, the last of which stores half."""
        return self.m ** (self.d - 2) * (self.m // 2 + 1)

    @property
    def num_parameters(self) -> int:
        """Spectral weights; the pointwise maps have few in comparison."""
        return self.L * self.m * self.modes_of_others * 2 * self.c**2


@dataclass(frozen=True)
class Layout:
    """P processes in teams of `slabs` that share samples; `batch` samples per team."""

    processes: int
    batch: int
    slabs: int = 1
    shard: bool = False


def field_bytes(model: Model, layout: Layout) -> float:
    """Bytes of a hidden field of c channels on one GPU."""
    return REAL * layout.batch * model.c * model.nodes / layout.slabs


def compute_seconds(model: Model, layout: Layout, machine: Machine) -> float:
    """Forward and backward pass and AdamW: the longer of memory traffic and products.

    A layer reads or writes 13 fields: convolution 2, three products and gelus with 2 each, a sum 3,
    and the last gelu 2 as it is in place of none. Lifting and projection, 2c wide, 10 each. The
    backward pass takes twice as many. AdamW reads 4 numbers per parameter and writes 3. Normalizers
    and loss read or write 12 whole fields of one channel on every GPU.
    """
    passes = 3 * (13 * model.L + 20)
    moved = passes * field_bytes(model, layout)
    held = model.num_parameters / (layout.processes if layout.shard else 1)
    moved += 7 * REAL * held + 12 * REAL * layout.batch * model.nodes
    nodes = layout.batch * model.nodes / layout.slabs
    c, L = model.c, model.L
    pointwise = 3 * nodes * (L * 4 * c**2 + 8 * c**2)
    transforms = 2 * nodes * c * L * 2 * 2 * (model.m + 2)
    modes = model.m * model.modes_of_others / layout.slabs
    mixing = 3 * L * layout.batch * modes * 8 * c**2
    work = pointwise + transforms + mixing
    return max(moved / machine.memory, work / machine.flops) / machine.share


def slab_bytes(model: Model, layout: Layout) -> float:
    """Bytes that a process sends to its team in a step, in the exchanges of modes.

    Per layer two exchanges forward and two backward, each of b · min(k₀, n/P) rows · K modes · c
    complex numbers, of which the part 1 - 1/P leaves the process.
    """
    P = layout.slabs
    rows = min(model.m, model.n / P)
    numbers = 2 * layout.batch * rows * model.modes_of_others * model.c
    return 4 * model.L * REAL * numbers * (1 - 1 / P)


def output_bytes(model: Model, layout: Layout) -> float:
    """Bytes that a process sends so that its team has the whole output, of one channel."""
    return REAL * layout.batch * model.nodes * (1 - 1 / layout.slabs)


def gradient_bytes(model: Model, layout: Layout) -> float:
    """Bytes of gradients (and gathered weights, if divided) that a process sends in a step."""
    P = layout.processes
    exchanges = 3 if layout.shard else 2  # all-gather twice, reduce-scatter; or one all-reduce
    return exchanges * REAL * model.num_parameters * (1 - 1 / P)


def exchange_seconds(num_bytes: float, processes: int, messages: int, machine: Machine) -> float:
    """Inside a node by NVLink; else 1/8 of the bytes goes between nodes by every GPU's adapter, as
    in a sum that first adds up inside the nodes."""
    if processes == 1:
        return 0.0
    if processes <= PER_NODE:
        return num_bytes / machine.inside + messages * machine.latency_inside
    nodes = math.ceil(processes / PER_NODE)
    outer = num_bytes / PER_NODE / machine.between * (1 - 1 / nodes)
    return num_bytes / machine.inside + outer + messages * machine.latency_between


def transpose_seconds(model: Model, layout: Layout, machine: Machine) -> float:
    """All-to-all exchanges of slabs: what leaves the node goes at the adapter's rate, and one
    message to each process. And the output, gathered."""
    P, sent = layout.slabs, slab_bytes(model, layout)
    if P == 1:
        return 0.0
    outside = max(0, P - PER_NODE) / (P - 1)
    latency = machine.latency_between if P > PER_NODE else machine.latency_inside
    seconds = sent * (1 - outside) / machine.inside + sent * outside / machine.between
    output = exchange_seconds(output_bytes(model, layout), P, 1, machine)
    return seconds + 4 * model.L * (latency + 1e-6 * (P - 1)) + output


def memory_bytes(model: Model, layout: Layout) -> float:
    """Weights, gradient and two moments; 4 saved fields per layer, 9 of lifting and projection, 4
    in use; whole input, target, output with gradient, and positions where fields are shared."""
    states = 4 * REAL * model.num_parameters / (layout.processes if layout.shard else 1)
    fields = (4 * model.L + 13) * field_bytes(model, layout)
    whole = (4 * layout.batch + model.d) * REAL * model.nodes
    return states + fields + whole


def step(model: Model, layout: Layout, machine: Machine) -> dict[str, Any]:
    """Seconds of the parts of a step, and the memory of a GPU."""
    P = layout.processes
    messages = 2 * math.ceil(math.log2(max(P, 2))) * (3 * model.L if layout.shard else 1)
    compute = compute_seconds(model, layout, machine)
    gradients = exchange_seconds(gradient_bytes(model, layout), P, messages, machine)
    modes = transpose_seconds(model, layout, machine)
    return {
        "compute_s": compute,
        "gradients_s": gradients,
        "modes_s": modes,
        "step_s": compute + gradients + modes,
        "memory_gb": memory_bytes(model, layout) / 1e9,
        "fits": memory_bytes(model, layout) <= machine.capacity,
    }


PLANE = Model(d=2, n=512, c=64, m=32)
CUBE = Model(d=3, n=512, c=32, m=16)
WIDE = Model(d=3, n=64, c=256, m=32)
COUNTS = (8, 64, 512)
STUDIES: dict[str, list[tuple[Model, Layout]]] = {
    "samples, weak": [(PLANE, Layout(P, 16)) for P in COUNTS],
    "samples, strong": [(PLANE, Layout(P, 512 // P)) for P in COUNTS],
    "slabs, weak": [(replace(CUBE, n=256 * round(P ** (1 / 3))), Layout(P, 1, P)) for P in COUNTS],
    "slabs, strong": [(replace(CUBE, n=1024), Layout(P, 1, P)) for P in COUNTS],
    "slabs in a node, samples between": [(CUBE, Layout(P, 1, 8)) for P in COUNTS],
    "divided weights, weak": [(WIDE, Layout(P, 4, shard=True)) for P in COUNTS],
}  # fmt: skip


def rows(machine: Machine) -> Iterator[dict[str, Any]]:
    """One row for each study and number of GPUs; efficiency is samples × nodes per GPU and second,
    relative to the first row of the study."""
    for study, cases in STUDIES.items():
        first = None
        for model, layout in cases:
            found = step(model, layout, machine)
            teams = layout.processes / layout.slabs
            rate = teams * layout.batch * model.nodes / found["step_s"] / layout.processes
            first = first or rate
            yield {"study": study, **asdict(model), **asdict(layout), **found,
                   "efficiency": rate / first}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true")
    if parser.parse_args().measure:
        from .scaling_cpu import measure

        measure()
        return
    table = list(rows(Machine()))
    write_csv(
        RESULTS / "scaling.csv",
        [{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in table],
    )
    print(markdown(table))


def markdown(table: list[dict[str, Any]]) -> str:
    """The table for docs/scaling.md."""
    names = ("study", "nodes", "GPUs", "per team", "compute", "gradients", "modes", "step",
             "efficiency", "memory")  # fmt: skip
    cells = []
    for row in table:
        times = (seconds_text(row[f"{k}_s"]) if row[f"{k}_s"] else "-"
                 for k in ("compute", "gradients", "modes", "step"))  # fmt: skip
        memory = f"{row['memory_gb']:.0f} GB" + ("" if row["fits"] else ", too much")
        size = f"{row['n']}{'²' if row['d'] == 2 else '³'}"
        cells.append((row["study"], size, row["processes"], row["batch"], *times,
                      f"{100 * row['efficiency']:.0f} %", memory))  # fmt: skip
    return markdown_table(names, cells)


if __name__ == "__main__":
    main()
