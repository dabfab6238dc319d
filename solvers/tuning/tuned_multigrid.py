"""Algebraic multigrid of PyAMG whose settings are chosen for each matrix."""

from dataclasses import dataclass
from typing import Any

from ..choice.methods import Method
from ..choice.solve import Solution, solve
from ..choice.system import System
from .amg_settings import Built, build
from .matrix_features import matrix_features
from .tuned import Tuned

ARMS: tuple[dict[str, Any], ...] = (
    {"coarsening": "pyamg", "theta": 0.0, "sweeps": "symmetric"},
    {"coarsening": "Ruge-Stüben", "theta": 0.25},
)


@dataclass(repr=False)
class CountedSolution(Solution):
    """A `Solution`, with its work.

    Attributes:
        products: of the set-up and all iterations, in products with A (`Built.products`).
    """

    products: float = 0.0


class TunedMultigrid(Tuned):
    """Conjugate gradients with PyAMG's multigrid, settings chosen for each matrix from its features.

        tuned = TunedMultigrid()
        for A, b in systems:
            x = tuned(A, b).x

    The settings are `ARMS`: coarsening, threshold of strength, sweeps, and the size of the coarsest
    level. The first is PyAMG's default. If a setting fails, `pdeops.solve` chooses another method
    as usual.

    Args:
        cost: "products" with A (`Built.products`), which are the same on any machine; or "seconds"
            of the processor.
        contextual: choose by `matrix_features`; else the best fixed setting is learnt.
        rtol, max_iterations: as for `pdeops.solve`.
        seed: of the random choices.

    Raises:
        ValueError: `cost` is neither.
    """

    def __init__(
        self,
        *,
        cost: str = "products",
        contextual: bool = True,
        rtol: float = 1e-8,
        max_iterations: int = 1000,
        seed: int = 0,
    ) -> None:
        if cost not in COSTS:
            raise ValueError(f"cost is one of {', '.join(COSTS)}; got {cost!r}.")
        self.rtol, self.max_iterations = rtol, max_iterations
        super().__init__(
            self._multigrid,
            ARMS,
            cost=COSTS[cost],
            features=_features if contextual else None,
            fallback=self._any,
            seed=seed,
        )

    def __call__(self, A: Any, b: Any, x0: Any = None) -> Solution:
        """x with |b - A x| <= rtol |b|, as `pdeops.solve` returns it; A may be a `System`."""
        system = A if isinstance(A, System) else System.of(A)
        return super().__call__(system, b, x0)

    def _multigrid(self, system: System, b: Any, x0: Any, **setting: Any) -> CountedSolution:
        built: list[Built] = []

        def M(system: System) -> Any:
            built.append(build(system, **setting))
            return built[-1].M

        method = Method("tuned algebraic multigrid", "", M)
        found = self._solve(system, b, x0, method)
        products = built[-1].products(sum(c.iterations for c in found.columns or [found]))
        return CountedSolution(**vars(found), products=products)

    def _any(self, system: System, b: Any, x0: Any) -> Solution:
        return self._solve(system, b, x0, None)

    def _solve(self, system: System, b: Any, x0: Any, method: Method | None) -> Solution:
        return solve(
            system, b, rtol=self.rtol, method=method, max_iterations=self.max_iterations, x0=x0
        )


def _features(system: System, b: Any, x0: Any) -> Any:
    return matrix_features(system)


def products(solution: CountedSolution) -> float:
    """The work of a solution, in products with A."""
    return solution.products


COSTS = {"products": products, "seconds": None}
