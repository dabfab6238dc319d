"""The program of an operator on one grid, traced by torch.export."""
# Axes: b batch, t time, c channel, *space nodes.

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from ..domain import Grid, Points
from ..kernels.forms import portable
from ..models.neuralop_package import traceable_products
from ..nn.operator import Operator

TASKS = ("supervised", "rollout")
LARGEST_BATCH = 1 << 20  # torch.export bounds every dynamic size


def portable_operator(run: Any) -> Operator:
    """A copy of the operator of a run on the CPU, in evaluation mode and without gradients.

    Raises:
        ValueError: runs of this task hold no map of fields, or the domain has no grid.
    """
    if run.task not in TASKS:
        raise ValueError(
            f"export writes a map from fields to fields, which runs of the tasks "
            f"{' and '.join(TASKS)} are; got a run of the task {run.task!r}. A network that solves "
            f"one equation is sampled by `pdeops predict`, one inside a solver is used by `pdeops "
            f"solve`."
        )
    if isinstance(run.domain, Points):
        raise ValueError(
            f"export needs a grid or a sphere, whose nodes are constants of the program; "
            f"{run.recipe.model.name} was trained on points ({run.domain}), whose positions it "
            f"checks by their values. Use `pdeops predict`, or train on a grid."
        )
    return copy.deepcopy(run.operator).cpu().eval().requires_grad_(False)


def inputs(
    operator: Operator, shape: Sequence[int], channels: int, batch: int, seed: int = 0
) -> Tensor:
    """Random fields in physical units, with the mean and deviation of the training data,
    (b, c, *space) or (b, t, c, *space)."""
    generator = torch.Generator().manual_seed(seed)
    frames = () if operator.n_in is None else (operator.n_in,)
    dtype = next(operator.parameters()).dtype
    u = torch.randn(batch, *frames, channels, *shape, generator=generator, dtype=dtype)
    axis = 1 + len(frames)
    return operator.input_normalizer.inverse(u, channel_axis=axis)


def trace(operator: Operator, x: Tensor) -> torch.export.ExportedProgram:
    """The operator on fields of the shape of x, for any size of the batch.

    The program consists of torch's operators; Fourier matrices, positions and interpolation
    matrices of the grid are its constants.

    Raises:
        ValueError: the operator refuses the shape, or torch.export cannot trace it.
    """
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(portable())
        stack.enter_context(traceable_products())
        operator(x)  # constants of this grid are computed outside of the trace
        try:
            return torch.export.export(operator, (x,), dynamic_shapes=({0: batch},), strict=False)
        except Exception as error:  # torch.export raises errors of many classes
            raise ValueError(
                f"torch.export cannot trace {type(operator.model).__name__}: "
                f"{str(error).splitlines()[0]}. A forward pass may not depend on the values of "
                f"its input, and takes the size of a batch from x.shape[0], not len(x)."
            ) from error


def scaled_shape(domain: Any, factor: float) -> tuple[int, ...]:
    """The number of nodes per axis of a domain with `factor` times as many cells."""
    if isinstance(domain, Grid):
        pairs = zip(domain.shape, domain.cells, strict=True)
        return tuple(n + round(m * factor) - m for n, m in pairs)
    nlat, nlon = domain.shape
    return (round((nlat - 1) * factor) + 1, round(nlon * factor))
