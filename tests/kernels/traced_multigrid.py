"""torch.compile and torch.export keep parts of a multigrid cycle as operations (`traced.py`)."""

import torch

from pdeops.domain import Grid
from pdeops.kernels.blackbox import Cycle, layout
from pdeops.kernels.tiled_multigrid.hierarchy import TiledHierarchy
from pdeops.solvers import Diffusion
from pdeops.solvers.multigrid.hierarchy import system_of
from pdeops.solvers.multigrid.smoothers import Chebyshev

from .traced import compiled, operations

THREE_LEVELS = [*["tiled_smooth", "tiled_restrict"] * 2, *["tiled_smooth"] * 2]


class CycleOf(torch.nn.Module):
    def __init__(self, levels):
        super().__init__()
        self.levels = levels

    def forward(self, b):
        levels = self.levels
        cycle = Cycle(lengths=Chebyshev(2).lengths)
        return levels.fields(levels.cycle(levels.stored(b), cycle))


def main():
    layout.DIRECT = 4  # unknowns of the coarsest level
    a = torch.linspace(0.5, 2, 63).view(9, 7)
    levels = TiledHierarchy(system_of(Diffusion(a, Grid((9, 7)))))
    assert len(levels.levels) == 3, levels.shapes
    module, graphs = CycleOf(levels), []
    b = torch.randn(1, 7, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = module(b)
        torch.testing.assert_close(compiled(module, graphs)(b), expected)
        found = [operations(graph) for graph in graphs]
        assert found == [THREE_LEVELS], found
        exported = torch.export.export(module, (b,))
        assert operations(exported.graph) == THREE_LEVELS, exported.graph
        torch.testing.assert_close(exported.module()(b), expected)


if __name__ == "__main__":
    main()
