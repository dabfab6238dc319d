"""The multigrid hierarchy of a `Stencil`, and the choice of its smoother and cycle."""

import math
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels import stencil_multigrid
from ...kernels.blackbox import Hierarchy
from ..operators.stencil import Stencil, stencil_offsets
from .cycle import CycleSpec
from .smoothers import DirectionalLines, GaussSeidel, LineGaussSeidel, Smoother

Direction = tuple[int, ...]

# Products with A that an iteration of CG takes for a smoother by points, by lines along an axis and
# along a diagonal: two sweeps of 1, 2 and 3 products, a residual, transfers, and A p.
COST_OF_POINTS, COST_ALONG_AXIS, COST_ALONG_DIAGONAL = 4, 6, 8
ROTATED = 0.5  # correlation of two axes in the diffusion tensor from which W-cycles pay
NUM_ANGLES = 33  # per axis, at which the symbol is evaluated


def stencil_hierarchy(A: Stencil, spec: CycleSpec) -> Hierarchy:
    """The levels of A for cycles of this smoother.

    Raises:
        blackbox.NotPositiveDefiniteError: a level is not positive definite.
        ValueError: the smoother has no loops for stencils.
    """
    strength = tensor(A).diagonal().clamp(min=0).tolist()
    system = stencil_multigrid.StencilSystem(
        A.diagonal(), A.couplings, strength, lines_of(spec.smoother, A)
    )
    return stencil_multigrid.set_up(system)


def lines_of(smoother: Smoother, A: Stencil) -> tuple[Direction, ...]:
    """The directions of the lines that a smoother solves; none for points.

    Raises:
        ValueError: the smoother is neither by points nor by lines.
    """
    if isinstance(smoother, GaussSeidel):
        return ()
    if isinstance(smoother, DirectionalLines):
        return smoother.directions
    if not isinstance(smoother, LineGaussSeidel):
        raise ValueError(
            f"Multigrid for a Stencil smooths by Gauss-Seidel; got {smoother}. Use GaussSeidel(), "
            f"LineGaussSeidel(axes) or DirectionalLines(directions)."
        )
    axes = smoother.axes
    if axes is None:
        axes = (max(range(A.ndim), key=lambda a: tensor(A)[a, a].item()),)
    if not all(0 <= a < A.ndim for a in axes):
        raise ValueError(f"Lines along {axes} on {A.grid}: axes are 0 to {A.ndim - 1}.")
    return tuple(tuple(int(a == axis) for a in range(A.ndim)) for axis in axes)


def mean_couplings(A: Stencil) -> dict[Direction, float]:
    """The mean coupling at each offset, over the nodes that have a neighbour there."""
    sums = A.couplings.detach().flatten(1).sum(1).tolist()
    result = {}
    for offset, total in zip(stencil_offsets(A.ndim), sums, strict=True):
        count = math.prod(n - abs(o) for n, o in zip(A.grid.shape, offset, strict=True))
        result[offset] = total / max(count, 1)
    return result


def tensor(A: Stencil) -> Float[Tensor, "d d"]:
    """The diffusion tensor of the mean stencil in units of the spacings: -Σ a(δ) δ δᵀ over half of
    the offsets. For elements and differences of -div(D grad u) it is D."""
    D = torch.zeros(A.ndim, A.ndim, dtype=torch.float64)
    for offset, a in mean_couplings(A).items():
        v = torch.tensor(offset, dtype=torch.float64)
        D -= a * torch.outer(v, v)
    return D


def suited_smoother(A: Stencil) -> Smoother:
    """Points, or in 2D lines along the axis or diagonal with which CG should take the least time.

    The number of iterations is taken to be proportional to μ^(-½), where μ is the smallest quotient
    of the symbols of the mean A and of the matrix that a sweep inverts (its diagonal, or lines),
    over the waves that the coarse grid does not represent.
    """
    if A.ndim != 2 or min(A.grid.shape) < 3:
        return GaussSeidel()
    cost: dict[Direction | None, float] = {None: COST_OF_POINTS / math.sqrt(smoothing(A, None))}
    for direction in stencil_offsets(2):
        count = COST_ALONG_DIAGONAL if all(direction) else COST_ALONG_AXIS
        cost[direction] = count / math.sqrt(smoothing(A, direction))
    best = min(cost, key=lambda direction: cost[direction])
    return GaussSeidel() if best is None else DirectionalLines((best,))


def smoothing(A: Stencil, direction: Direction | None) -> float:
    """The quotient μ of `suited_smoother` for lines along a direction, or for points."""
    theta = torch.linspace(-math.pi, math.pi, NUM_ANGLES, dtype=torch.float64)
    waves = torch.stack(torch.meshgrid(theta, theta, indexing="ij"))
    rough = waves.abs().amax(0) >= math.pi / 2 - 1e-9
    symbol, diagonal, inverted = torch.zeros(()), 0.0, torch.zeros(())
    for offset, a in mean_couplings(A).items():
        cosine = (torch.tensor(offset, dtype=torch.float64)[:, None, None] * waves).sum(0).cos()
        symbol, diagonal = symbol + 2 * a * (cosine - 1), diagonal - 2 * a
        if offset == direction:
            inverted = 2 * a * cosine
    if diagonal <= 0:  # no coupling, or not of a diffusion
        return 1.0 if direction is None else 1e-9
    quotient = symbol / (diagonal + inverted).clamp(min=1e-9 * diagonal)
    return max(quotient[rough].min().item(), 1e-9)


def suited_cycle(A: Stencil) -> str:
    """W if the directions of strong and weak coupling are turned against the axes, else V.

    Errors that are constant along a strong diagonal have an energy of fourth order in the other
    direction, of which linear interpolation makes twice as much on each level: with V-cycles the
    number of iterations grows by a factor √2 per level until the weak coupling outweighs it.
    """
    D = tensor(A)
    pairs = [(i, j) for i, j in product(range(A.ndim), repeat=2) if i < j]
    turned = any(D[i, j] ** 2 > ROTATED**2 * D[i, i] * D[j, j] for i, j in pairs)
    return "W" if turned else "V"
