"""torch.compile and torch.export record every operation as one graph, whose results are those of
the operation. The rows are those of the contract (`contract_rows.py`), and operators on fields.

`traced_*.py` check that operations in Triton stay whole; here loops of a CPU give way to the twin.
"""

from functools import partial

import pytest
import torch
from torch.utils._pytree import tree_map

from pdeops.domain import Grid
from pdeops.kernels import stencil
from pdeops.kernels.tiled_multigrid.hierarchy import TiledHierarchy
from pdeops.solvers import Diffusion
from pdeops.solvers.multigrid.cycle import CycleSpec
from pdeops.solvers.multigrid.hierarchy import system_of
from pdeops.solvers.multigrid.smoothers import Chebyshev, LineGaussSeidel

from .contract_row import Row
from .contract_rows import ROWS
from .test_contract import TOLERANCE, draw, error, tensors, widened


def diffusion_of(u):
    a = torch.linspace(0.5, 2, u[0].numel(), dtype=torch.float64).view(u[0].shape)
    return Diffusion(a, Grid(u.shape[1:], boundary="neumann"), reaction=1.0).to(u.dtype)


def stencil_of(u):
    """Couplings that leave the grid are zero."""
    shape, couplings = u.shape[1:], []
    for k, offset in enumerate(stencil.stencil_offsets(u.ndim - 1)):
        c = torch.zeros(shape, dtype=u.dtype)
        inside = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape, strict=True))
        c[inside] = -0.1 * (k + 1)
        couplings.append(c)
    return stencil.Entries(torch.full(shape, 9.0, dtype=u.dtype), torch.stack(couplings))


def cycle_of(smoother):
    """A V-cycle by the parts of tiled multigrid, on levels that were set up before."""

    def bind(u):
        A, spec = diffusion_of(u), CycleSpec(smoother=smoother)
        levels = TiledHierarchy(system_of(A), spec.lines(A))
        return lambda u: levels.fields(levels.cycle(levels.stored(u), spec.steps))

    return bind


def bound(bind):
    """A row of an operator of u, which is bound before a graph is recorded."""
    return Row(
        lambda u: bind(u)(u), lambda u: bind(u)(u), lambda n: [(2, *n)], ((9, 8),), graph=bind
    )


GRAPHS = {
    **{name: row for name, row in ROWS.items() if "test_graph" not in row.exempt},
    "diffusion.apply": bound(lambda u: diffusion_of(u).apply),
    "stencil.apply": bound(lambda u: partial(stencil.apply, stencil_of(u))),
    "cycle by points": bound(cycle_of(Chebyshev())),
    "cycle by lines": bound(cycle_of(LineGaussSeidel((0,)))),
}


class Program(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *fields):
        return self.function(*fields)


def compiled(function, fields):
    return torch.compile(function, fullgraph=True, backend="aot_eager")(*fields)


def exported(function, fields):
    program = torch.export.export(Program(function), tuple(fields))
    return program.module()(*fields)


@pytest.mark.slow
@pytest.mark.parametrize("record", [compiled, exported])
@pytest.mark.parametrize("name", GRAPHS)
def test_graph(name, record, shapes_unchecked):
    """A graph break or a value that is needed while the graph is recorded raises an error."""
    row = GRAPHS[name]
    torch.compiler.reset()
    fields = draw(row, row.sizes[0], row.dtypes[-1])
    expected = tree_map(torch.clone, row.operation(*fields))
    with torch.no_grad():
        found = record(row.graph(*fields) if row.graph else row.operation, fields)
    assert error(found, tuple(map(widened, tensors(expected)))) <= TOLERANCE[row.dtypes[-1]]
