"""Settings of PyAMG's algebraic multigrid, and what they cost in products with A."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...nearest import did_you_mean
from ..multigrid.amg import RugeStueben, SmoothedAggregation
from ..multigrid.amg_work import cycle_products, setup_products

if TYPE_CHECKING:
    from ..choice.system import System

# Products with the matrix of a level before its Galerkin product: strength of connection and
# interpolation take one each, so does a second pass of the splitting; a spectral radius takes 15
# (Arnoldi's method without a restart).
STRENGTH, INTERPOLATION, RADIUS, SECOND_PASS = 1, 1, 15, 1
CANDIDATES = 8  # products with A: four symmetric sweeps on the vector of ones
SWEEPS = {"one-way": ("forward", "backward"), "symmetric": ("symmetric", "symmetric")}


@dataclass(frozen=True)
class Coarsening:
    """A way of PyAMG to coarsen.

    Attributes:
        kind: the class of M.
        strength: θ -> PyAMG's measure of strength.
        products: with the matrix of each level, before its Galerkin product.
        first: products with A, once.
        blocks: whether several unknowns per node are coarsened together.
        options: further ones of PyAMG.
    """

    kind: type
    strength: Callable[[float], tuple[str, dict[str, Any]]]
    products: int
    first: int = 0
    blocks: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def _symmetric(theta: float) -> tuple[str, dict[str, Any]]:
    return "symmetric", {"theta": theta}


def _classical(theta: float) -> tuple[str, dict[str, Any]]:
    return "classical", {"theta": theta, "norm": "min"}


# Weights by Gershgorin's bounds take no spectral radius, and ones are not improved.
_CHEAP = {
    "smooth": ("jacobi", {"omega": 4 / 3, "weighting": "local"}),
    "improve_candidates": None,
}
COARSENINGS = {
    "pyamg": Coarsening(  # its defaults
        SmoothedAggregation,
        _symmetric,
        STRENGTH + INTERPOLATION + RADIUS,
        first=CANDIDATES,
    ),
    "aggregation": Coarsening(
        SmoothedAggregation,
        _symmetric,
        STRENGTH + INTERPOLATION,
        blocks=True,
        options=_CHEAP,
    ),
    "Ruge-Stüben": Coarsening(
        RugeStueben,
        _classical,
        STRENGTH + INTERPOLATION,
    ),
    "Ruge-Stüben, two passes": Coarsening(
        RugeStueben,
        _classical,
        STRENGTH + INTERPOLATION + SECOND_PASS,
        options={"CF": ("RS", {"second_pass": True})},
    ),
}


@dataclass(frozen=True)
class Built:
    """A preconditioner and its work, in products with A.

    Attributes:
        M: the preconditioner.
        setup: work of the set-up (`setup_products`).
        cycle: work of one application (`cycle_products`).
    """

    M: Any
    setup: float
    cycle: float

    def products(self, iterations: int) -> float:
        """Work of the set-up and of conjugate gradients: one product and one cycle an iteration."""
        return self.setup + iterations * (1 + self.cycle)


def build(
    system: "System",
    *,
    coarsening: str,
    theta: float,
    sweeps: str = "one-way",
    cycle: str = "V",
    coarsest: int = 10,
) -> Built:
    """Algebraic multigrid of PyAMG for a system.

    Args:
        coarsening: a name in `COARSENINGS`.
        theta: threshold of strength. A coupling is strong if -a_ij >= θ max_k (-a_ik) for
            Ruge-Stüben, and if a_ij² >= θ² a_ii a_jj for aggregation.
        sweeps: of Gauss-Seidel; "one-way" is forward before the correction and backward after it,
            "symmetric" (PyAMG's default) both before and both after, which is twice the work.
        cycle: "V" or "W".
        coarsest: unknowns up to which a level is solved by its inverse.

    Raises:
        ValueError: a name is unknown, or PyAMG has no hierarchy for A.
    """
    for name, table in ((coarsening, COARSENINGS), (sweeps, SWEEPS)):
        if name not in table:
            raise ValueError(
                f"No setting {name!r} of algebraic multigrid; there are {', '.join(table)}."
                f"{did_you_mean(name, table)}"
            )
    chosen = COARSENINGS[coarsening]
    A = system.matrix if system.found.operator is None else system.A
    block = system.blocks if chosen.blocks and A is system.matrix else 1
    smoother = "block_gauss_seidel" if block > 1 else "gauss_seidel"
    before, after = ((smoother, {"sweep": sweep}) for sweep in SWEEPS[sweeps])
    M = chosen.kind(
        A,
        cycle=cycle,
        block=block,
        strength=chosen.strength(theta),
        presmoother=before,
        postsmoother=after,
        max_coarse=coarsest,
        **chosen.options,
    )
    passes = 4 if sweeps == "symmetric" else 2
    # Interpolation is that of each near-null vector.
    products = chosen.products + (block - 1) * INTERPOLATION
    return Built(
        M,
        setup_products(M.hierarchy, products, chosen.first),
        cycle_products(M.hierarchy, passes, cycle),
    )
