"""A linear multigrid cycle with learned stencils, on fields with many channels."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from ..domain import Grid, Placement
from .boundary import ZERO, add_ghosts, ghost_modes
from .convolution import CONV, CONV_TRANSPOSE, CONVOLVE, CONVOLVE_TRANSPOSED

# Axes: b batch, f channels of the right-hand side, u of the solution, fine and coarse space.


class Stencil(nn.Module):
    """u -> W * u on the same nodes: W has 3 nodes per axis, `ghost_modes` continues u."""

    def __init__(self, in_channels: int, out_channels: int, grid: Grid) -> None:
        super().__init__()
        self.weight = CONV[grid.ndim](in_channels, out_channels, 3, bias=False).weight
        modes = ghost_modes(grid)
        self.zeros = tuple(int(m == ZERO) for m in modes)  # padded inside the convolution: no copy
        self.ghosts = tuple(None if m == ZERO else m for m in modes)
        self.ones = (1,) * grid.ndim
        self.convolve = CONVOLVE[grid.ndim]

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        u = add_ghosts(u, self.ghosts, self.ones, self.ones)
        return self.convolve(u, self.weight, padding=self.zeros)


class Restriction(nn.Module):
    """Restriction R, fine to coarse: a stencil of 3 nodes per axis around every second node.

    Coarse node j is fine node 2j, and n nodes become ceil(n/2), so that stored end nodes nest: 65,
    33, 17, 9, 5. If the end nodes are not stored (Dirichlet), coarse node j is fine node 2j + 1 and
    n nodes become floor(n/2): 63, 31, 15, 7, 3. Other sizes and cell centres nest approximately.
    """

    def __init__(self, channels: int, grid: Grid) -> None:
        super().__init__()
        self.weight = CONV[grid.ndim](channels, channels, 3, bias=False).weight
        modes = ghost_modes(grid)
        self.left = _first_node_kept(grid)
        self.zeros = tuple(k * int(m == ZERO) for k, m in zip(self.left, modes, strict=True))
        self.ghosts = tuple(None if z else m for z, m in zip(self.zeros, modes, strict=True))
        self.right = (1,) * grid.ndim
        self.convolve = CONVOLVE[grid.ndim]

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *coarse"]:
        u = add_ghosts(u, self.ghosts, self.left, self.right)
        return self.convolve(u, self.weight, stride=2, padding=self.zeros)


class Prolongation(nn.Module):
    """Prolongation P, coarse to fine: a transposed stencil between the same nodes as R.

    With equal kernels P = Rᵀ to the last bit on Dirichlet axes of any n and on periodic axes of
    even n. On Neumann axes P interpolates, and is adjoint to R in the trapezoidal inner product if
    the ends nest.
    """

    def __init__(self, channels: int, grid: Grid) -> None:
        super().__init__()
        self.weight = CONV_TRANSPOSE[grid.ndim](channels, channels, 3, bias=False).weight
        self.cut = _first_node_kept(grid)
        # The ghost node after the last coarse node: none, the other end, or the mirror image.
        self.ghosts = tuple(
            {ZERO: None, "reflect": "replicate"}.get(m, m) for m in ghost_modes(grid)
        )
        self.left, self.right = (0,) * grid.ndim, (1,) * grid.ndim
        self.convolve = CONVOLVE_TRANSPOSED[grid.ndim]

    def forward(
        self, u: Float[Tensor, "b c *coarse"], shape: Sequence[int]
    ) -> Float[Tensor, "b c *space"]:
        """P u on `shape` fine nodes."""
        u = add_ghosts(u, self.ghosts, self.left, self.right)
        # m coarse nodes give 2m + 1 fine nodes; `cut` drops the first and the last of them.
        reach = [2 * m + 1 - 2 * c for m, c in zip(u.shape[2:], self.cut, strict=True)]
        more = [max(0, n - r) for n, r in zip(shape, reach, strict=True)]
        u = self.convolve(u, self.weight, stride=2, padding=self.cut, output_padding=more)
        for axis, (n, m) in enumerate(zip(shape, u.shape[2:], strict=True), 2):
            u = u if n == m else u.narrow(axis, 0, n)
        return u


def _first_node_kept(grid: Grid) -> tuple[int, ...]:
    """1 on axes whose coarse nodes are the fine nodes 0, 2, 4, ..., 0 where they are 1, 3, ..."""
    return tuple(int(p is not Placement.INTERIOR) for p in grid.placement)


def coarse_shapes(grid: Grid) -> list[tuple[int, ...]]:
    """Shapes of all levels with at least two nodes per axis, finest first."""
    shapes = [grid.shape]
    while True:
        kept = zip(shapes[-1], _first_node_kept(grid), strict=True)
        coarse = tuple((n + k) // 2 for n, k in kept)
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

    def forward(self, f: Float[Tensor, "b f *space"]) -> Float[Tensor, "b u *space"]:
        u = self.pre[0](f)  # from u = 0 the residual is f
        for S in self.pre[1:]:
            u = S(self._residual(u, f)).add_(u)
        if self.coarser is not None:
            u = u + self.P(self.coarser(self.R(self._residual(u, f))), f.shape[2:])
        for S in self.post:
            u = S(self._residual(u, f)).add_(u)
        return u

    def _residual(
        self, u: Float[Tensor, "b u *space"], f: Float[Tensor, "b f *space"]
    ) -> Float[Tensor, "b f *space"]:
        """f - A u, in place of A u: this allocates no memory and keeps the channels-last layout."""
        return self.A(u).neg_().add_(f)


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
