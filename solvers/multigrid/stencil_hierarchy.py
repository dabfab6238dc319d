"""The multigrid hierarchy of a `Stencil`, and the choice of its smoother and cycle."""

import math
from itertools import product

import numpy as np

from ...kernels import stencil_multigrid
from ...kernels.blackbox import Hierarchy
from ...kernels.blackbox.layout import STRONG
from ..operators.stencil import Stencil
from .cycle import CycleSpec
from .smoothers import DirectionalLines, GaussSeidel, LineGaussSeidel, Smoother

Direction = tuple[int, ...]

# Time of an iteration of CG, in half products with A, for a smoother by points and by lines along a
# diagonal (measured at 511²).
COST_OF_POINTS, COST_OF_DIAGONALS = 10, 16
ROTATED = 0.5  # correlation of two axes in the diffusion tensor from which W-cycles pay
NUM_ANGLES = 33  # per axis, at which the symbol is evaluated


def stencil_hierarchy(A: Stencil, spec: CycleSpec) -> Hierarchy:
    """The levels of A for cycles of this smoother.

    Raises:
        blackbox.NotPositiveDefiniteError: a level is not positive definite.
        ValueError: the smoother has no loops for stencils.
    """
    strength = tensor(A).diagonal().clip(min=0).tolist()
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
        axes = (max(range(A.ndim), key=lambda a: tensor(A)[a, a]),)
    if not all(0 <= a < A.ndim for a in axes):
        raise ValueError(f"Lines along {axes} on {A.grid}: axes are 0 to {A.ndim - 1}.")
    return tuple(tuple(int(a == axis) for a in range(A.ndim)) for axis in axes)


def tensor(A: Stencil) -> np.ndarray:
    """The diffusion tensor of the mean stencil in units of the spacings: -Σ a(δ) δ δᵀ over half of
    the offsets. For elements and differences of -div(D grad u) it is D."""
    terms = (-a * np.outer(offset, offset) for offset, a in A.mean_couplings.items())
    return sum(terms, np.zeros((A.ndim, A.ndim)))


def suited_smoother(A: Stencil) -> Smoother:
    """Points, or in 2D lines along a diagonal if CG should take less time with them.

    The number of iterations is taken to be proportional to μ^(-3/4) (`smoothing`). Lines along axes
    are not chosen: where one axis dominates, points with semicoarsening take less time.
    """
    if A.ndim != 2 or min(A.grid.shape) < 3:
        return GaussSeidel()
    cost: dict[Direction | None, float] = {None: COST_OF_POINTS / smoothing(A, None) ** 0.75}
    for diagonal in ((1, 1), (1, -1)):
        cost[diagonal] = COST_OF_DIAGONALS / smoothing(A, diagonal) ** 0.75
    best = min(cost, key=lambda direction: cost[direction])
    return GaussSeidel() if best is None else DirectionalLines((best,))


def smoothing(A: Stencil, direction: Direction | None) -> float:
    """The smallest quotient μ of the symbols of the mean A and of the matrix that a sweep inverts
    (its diagonal, or lines along a direction), over the waves that the coarse grid does not have.

    With lines, both axes are coarsened; with points, only those of strong coupling.
    """
    theta = np.linspace(-math.pi, math.pi, NUM_ANGLES)
    waves = np.stack(np.meshgrid(theta, theta, indexing="ij"))
    strength = tensor(A).diagonal()
    coarsened = strength >= (0 if direction else STRONG) * strength.max()
    rough = abs(waves[coarsened]).max(axis=0, initial=0) >= math.pi / 2 - 1e-9
    symbol, diagonal, inverted = np.zeros(()), 0.0, np.zeros(())
    for offset, a in A.mean_couplings.items():
        cosine = np.cos(np.tensordot(offset, waves, 1))
        symbol, diagonal = symbol + 2 * a * (cosine - 1), diagonal - 2 * a
        if offset == direction:
            inverted = 2 * a * cosine
    if diagonal <= 0:  # no coupling, or not of a diffusion
        return 1.0 if direction is None else 1e-9
    quotient = symbol / np.maximum(diagonal + inverted, 1e-9 * diagonal)
    return max(float(quotient[rough].min(initial=1.0)), 1e-9)


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
