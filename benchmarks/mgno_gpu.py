"""python -m benchmarks.mgno_gpu: a training step of MgNO on a GPU, fused and in plain torch.

The network of the paper for rough Darcy flow (24 channels, 4 layers, 6 levels, one sweep before and
none after the correction) on 256² nodes, batch 8: forward, relative H1 loss, backward, Adam. A row
for each precision (float32, TF32, bfloat16 by autocast), form and way to launch:

- `plain`: the twin in channels last, that is, cuDNN's convolutions and torch's sums;
- `fused`: the steps of `kernels/multichannel_cycle`, each in the form that was fastest when it was
  timed, among them the plain one;
- both eager and by torch.compile; one operation after another, and as one CUDA graph.

The columns are the quartiles of the time, how many times faster than the plain eager step launched
alike, and the errors of the prediction and of the gradient against float64.

Needs a GPU, torch, triton and numpy. Without a GPU, `--interpret` runs all rows at a tiny size, the
fused ones in Triton's interpreter, and its times mean nothing. Writes results/mgno_gpu.csv.
"""

import argparse
import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pdeops.compare.tables import write_csv

from .gpu import add_options, begin, gpu_machine, launches, seconds

PLAIN = "plain"
ALPHA = 39.478  # (2π)², as in configs/mgno_rough256.toml


@dataclass(frozen=True)
class Precision:
    """How products of float32 are computed, and the largest accepted relative errors."""

    name: str
    tf32: bool = False
    autocast: bool = False
    tolerance: float = 1e-4


PRECISIONS = (
    Precision("float32"),
    Precision("TF32", tf32=True, tolerance=2e-2),
    Precision("bfloat16", tf32=True, autocast=True, tolerance=0.2),
)


@dataclass(frozen=True)
class Problem:
    """The size of the network and of its batch."""

    nodes: int = 256
    batch: int = 8
    channels: int = 24
    layers: int = 4
    levels: int = 6


TINY = Problem(nodes=6, batch=1, channels=2, layers=1, levels=2)


class Training:
    """A network, its optimizer and one batch of noise, equal for all rows."""

    def __init__(self, problem: Problem, device: torch.device, precision: Precision) -> None:
        from pdeops.domain import Grid
        from pdeops.losses import LOSSES
        from pdeops.models import MgNO

        grid = Grid((problem.nodes,) * 2)
        torch.manual_seed(0)
        size = {"hidden_channels": problem.channels, "n_layers": problem.layers}
        self.model = MgNO(1, 1, grid, levels=problem.levels, sweeps=(1, 0), **size).to(device)
        generator = torch.Generator().manual_seed(0)
        shape = (2, problem.batch, 1, *grid.shape)
        self.x, self.y = torch.randn(shape, generator=generator).to(device)
        self.loss = LOSSES["RelativeH1"](grid, alpha=ALPHA)
        self.precision, self.device = precision, device
        on_gpu = device.type == "cuda"
        options = {"fused": True, "capturable": True} if on_gpu else {}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=5e-4, **options)
        self.network: Callable[[Tensor], Tensor] = self.model

    def compile(self) -> None:
        self.network = torch.compile(self.model, fullgraph=True)

    def gradients(self) -> Tensor:
        """The prediction; leaves the gradients of the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision.autocast):
            prediction = self.network(self.x)
        self.loss(prediction.float(), self.y).backward()
        return prediction.detach()

    def step(self) -> Tensor:
        prediction = self.gradients()
        self.optimizer.step()
        return prediction

    def errors(self) -> tuple[float, ...]:
        """Of the prediction and the gradient, against float64 on one sample."""
        exact = copy.deepcopy(self.model).double()
        with twin():
            y = exact(self.x[:1].double())
            self.loss(y, self.y[:1].double()).backward()
        x, target, self.x, self.y = self.x, self.y, self.x[:1], self.y[:1]
        found = self.gradients().double()
        self.x, self.y = x, target
        dW, dW_exact = (
            torch.cat([p.grad.double().flatten() for p in m.parameters() if p.grad is not None])
            for m in (self.model, exact)
        )
        pairs = ((found, y), (dW, dW_exact))
        return tuple(((u - v).norm() / v.norm()).item() for u, v in pairs)


def twin() -> Any:
    """A context in which the cycle takes its twin."""
    from pdeops.kernels.multichannel_cycle import FORMS

    return FORMS.twin()


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """A context with the precision of float32 products, of matrices and of convolutions."""
    switches = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [s.fp32_precision for s in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "tf32" if precision.tf32 else "ieee"
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mgno_gpu")
    parser.add_argument(
        "--interpret", action="store_true", help="all rows at a tiny size, on a CPU"
    )
    parser.add_argument("--eager", action="store_true", help="leave out the rows of torch.compile")
    add_options(parser, repeats=30)
    arguments = parser.parse_args()
    problem, device = Problem(), torch.device("cuda")
    if arguments.interpret:
        os.environ.update(TRITON_INTERPRET="1", PDEOPS_KERNELS="triton")
        problem, device = TINY, torch.device("cpu")
        arguments.repeats = 1
    begin(parser, device, "`--interpret` runs all rows at a tiny size.")
    rows: list[dict[str, Any]] = []
    for precision in PRECISIONS:
        plain: dict[str, float] = {}
        for form in (PLAIN, "fused"):
            for compiled in (False,) if arguments.eager else (False, True):
                with products(precision), twin() if form == PLAIN else nullcontext():
                    name = f"{form}, compiled" if compiled else form
                    for row in measured(problem, device, precision, compiled, arguments.repeats):
                        median = row.pop("median")
                        plain.setdefault(row["launch"], median)
                        rows.append(
                            {
                                "nodes": problem.nodes,
                                "batch": problem.batch,
                                "precision": precision.name,
                                "form": name,
                                **row,
                                "median_ms": f"{1e3 * median:.3f}",
                                "times_faster": f"{plain[row['launch']] / median:.2f}",
                                **gpu_machine(),
                            }
                        )
                        shown = ("precision", "form", "launch", "median_ms", "times_faster")
                        errors = ("error_u", "error_gradient")
                        print(*(rows[-1][k] for k in (*shown, *errors)), sep=" | ", flush=True)
                        write_csv(arguments.out / "mgno_gpu.csv", rows)


def measured(
    problem: Problem, device: torch.device, precision: Precision, compiled: bool, repeats: int
) -> Iterator[dict[str, Any]]:
    """The errors of a row, and the times of its step for each way to launch.

    Raises:
        RuntimeError: an error exceeds the tolerance of the precision.
    """
    training = Training(problem, device, precision)
    if compiled:
        torch.compiler.reset()
        training.compile()
    found = training.errors()
    if not max(found) <= precision.tolerance:
        raise RuntimeError(
            f"{precision.name}: errors {found} against float64 exceed {precision.tolerance:.0e}."
        )
    errors = dict(zip(("error_u", "error_gradient"), (f"{e:.1e}" for e in found), strict=True))
    for launch, call in launches(training.step, device):
        times = seconds(call, device, repeats)
        quartiles = {"q1_ms": f"{1e3 * times.q1:.3f}", "q3_ms": f"{1e3 * times.q3:.3f}"}
        yield {"launch": launch, "median": times.median, **quartiles, **errors}


if __name__ == "__main__":
    main()
