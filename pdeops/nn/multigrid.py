"""A linear multigrid cycle with learned stencils, on fields with many channels."""

from collections.abc import Sequence
from functools import cache

from jaxtyping import Float
from torch import Tensor, nn

from ..domain import Grid, Placement
from ..kernels.multichannel_cycle import (
    Geometry,
    Plan,
    cycle,
    prolongation,
    restriction,
    stencil,
)
from .boundary import ghost_modes
from .convolution import CONV, CONV_TRANSPOSE

# Axes: b batch, f channels of the right-hand side, u of the solution, fine and coarse space.


class Stencil(nn.Module):
    """u -> W * u on the same nodes: W has 3 nodes per axis, `ghost_modes` continues u."""

    def __init__(self, in_channels: int, out_channels: int, grid: Grid) -> None:
        super().__init__()
        self.weight = CONV[grid.ndim](in_channels, out_channels, 3, bias=False).weight
        self.geometry = geometry_of(grid)

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        return stencil(u, self.weight, self.geometry)


class Restriction(nn.Module):
    """Restriction R, fine to coarse: a stencil of 3 nodes per axis around every second node.

    Coarse node j is fine node 2j, and n nodes become ceil(n/2), so that stored end nodes nest: 65,
    33, 17, 9, 5. If the end nodes are not stored (Dirichlet), coarse node j is fine node 2j + 1 and
    n nodes become floor(n/2): 63, 31, 15, 7, 3. Other sizes and cell centres nest approximately.
    """

    def __init__(self, channels: int, grid: Grid) -> None:
        super().__init__()
        self.weight = CONV[grid.ndim](channels, channels, 3, bias=False).weight
        self.geometry = geometry_of(grid)

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *coarse"]:
        return restriction(u, self.weight, self.geometry)


class Prolongation(nn.Module):
    """Prolongation P, coarse to fine: a transposed stencil between the same nodes as R.

    With equal kernels P = Rᵀ to the last bit on Dirichlet axes of any n and on periodic axes of
    even n. On Neumann axes P interpolates, and is adjoint to R in the trapezoidal inner product if
    the ends nest.
    """

    def __init__(self, channels: int, grid: Grid) -> None:
        super().__init__()
        self.weight = CONV_TRANSPOSE[grid.ndim](channels, channels, 3, bias=False).weight
        self.geometry = geometry_of(grid)

    def forward(
        self, u: Float[Tensor, "b c *coarse"], shape: Sequence[int]
    ) -> Float[Tensor, "b c *space"]:
        """P u on `shape` fine nodes."""
        return prolongation(u, self.weight, self.geometry, shape)


def geometry_of(grid: Grid) -> Geometry:
    """The ghost nodes of the grid, and whether its coarse nodes are the fine nodes 0, 2, 4, ... or
    1, 3, ..., where the end nodes are not stored."""
    return _geometry(
        ghost_modes(grid), tuple(int(p is not Placement.INTERIOR) for p in grid.placement)
    )


_geometry = cache(Geometry)  # one object for all stencils


def coarse_shapes(grid: Grid) -> list[tuple[int, ...]]:
    """Shapes of all levels with at least two nodes per axis, finest first."""
    shapes, geometry = [grid.shape], geometry_of(grid)
    while True:
        coarse = geometry.coarse(shapes[-1])
        if min(coarse) < 2:
            return shapes
        shapes.append(coarse)


def default_levels(grid: Grid) -> int:
    """Levels until the shortest axis has at most 5 nodes: 16 -> 3, 64 -> 5, 65 -> 5, 129 -> 6."""
    shapes = coarse_shapes(grid)
    return next((l for l, s in enumerate(shapes, 1) if min(s) <= 5), len(shapes))


class MultigridCycle(nn.Module):
    """f -> u ≈ A⁻¹ f: one multigrid cycle from u = 0 with learned stencils, linear in f.

    Each level has one A, and one S for each sweep (Trottenberg, Oosterlee & Schüller
    2001, sec. 2.4; He, Liu & Xu 2024):

        u <- u + S (f - A u)            sweeps[0] times, from u = 0
        u <- u + P coarser(R (f - A u)) the residual is restricted, the correction prolonged
        u <- u + S (f - A u)            sweeps[1] times

    The coarsest level applies the first line `coarse_sweeps` times. sweeps = (1, 0) is the
    backslash cycle, (1, 1) the V-cycle. The cycle contains no bias and no activation, so it maps f
    linearly. The weights do not depend on the grid size: they act on every grid with as many
    levels.

    Raises:
        ValueError: the grid has more than three axes or is too small for the levels, or there are
            too few sweeps.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        grid: Grid,
        *,
        levels: int,
        sweeps: Sequence[int] = (1, 1),
        coarse_sweeps: int = 2,
    ) -> None:
        super().__init__()
        _check(grid, levels, sweeps, coarse_sweeps)
        before, after = sweeps if levels > 1 else (coarse_sweeps, 0)
        self.plan, self.geometry = (
            Plan(levels, sweeps[0], sweeps[1], coarse_sweeps),
            geometry_of(grid),
        )

        def smoothers(number: int) -> nn.ModuleList:
            return nn.ModuleList(Stencil(in_channels, channels, grid) for _ in range(number))

        self.A = Stencil(channels, in_channels, grid)
        self.pre, self.post = smoothers(before), smoothers(after)
        self.coarser: MultigridCycle | None = None
        if levels > 1:
            self.R = Restriction(in_channels, grid)
            self.P = Prolongation(channels, grid)
            self.coarser = MultigridCycle(
                in_channels,
                channels,
                grid.with_shape(coarse_shapes(grid)[1]),
                levels=levels - 1,
                sweeps=sweeps,
                coarse_sweeps=coarse_sweeps,
            )

    @property
    def weights(self) -> list[Tensor]:
        """A, the smoothers before and after, R and P of each level, finest first."""
        here = [S.weight for S in (self.A, *self.pre, *self.post)]
        if self.coarser is None:
            return here
        return [*here, self.R.weight, self.P.weight, *self.coarser.weights]

    def forward(self, f: Float[Tensor, "b f *space"]) -> Float[Tensor, "b u *space"]:
        return cycle(f, self.weights, self.plan, self.geometry)


def _check(grid: Grid, levels: int, sweeps: Sequence[int], coarse_sweeps: int) -> None:
    if grid.ndim not in CONV:
        raise ValueError(f"The cycle needs one to three axes; got a grid of shape {grid.shape}.")
    if len(sweeps) != 2 or sweeps[0] < 1 or sweeps[1] < 0 or coarse_sweeps < 2:
        raise ValueError(
            f"A cycle needs sweeps = (before, after) the correction, at least one before, and two "
            f"coarse sweeps; got {tuple(sweeps)} and coarse_sweeps={coarse_sweeps}. Use (1, 1), 2."
        )
    max_levels = len(coarse_shapes(grid))
    if not 1 <= levels <= max_levels:
        raise ValueError(
            f"A grid of shape {grid.shape} has at most {max_levels} levels with two nodes "
            f"per axis; got levels={levels}. Use 1 to {max_levels}, or a finer grid."
        )
