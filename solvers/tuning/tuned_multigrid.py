"""Algebraic multigrid of PyAMG whose settings are chosen for each matrix."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..choice.methods import Method
from ..choice.solve import Solution, solve
from ..choice.system import System
from .amg_settings import Built, build
from .matrix_features import matrix_features
from .tuned import Tuned

# Each lowers the cost of the best setting for each matrix; they were chosen on other matrices than
# those of `benchmarks/amg_tuning.py`.
ARMS: tuple[dict[str, Any], ...] = (
    {"coarsening": "Ruge-Stüben", "theta": 0.25},
    {"coarsening": "Ruge-Stüben", "theta": 0.1},
    {"coarsening": "Ruge-Stüben", "theta": 0.35},
    {"coarsening": "Ruge-Stüben", "theta": 0.6},
    {"coarsening": "Ruge-Stüben", "theta": 0.8},
    {"coarsening": "Ruge-Stüben, two passes", "theta": 0.25},
    {"coarsening": "aggregation", "theta": 0.0, "coarsest": 150},
    {"coarsening": "pyamg", "theta": 0.0, "sweeps": "symmetric"},
)


@dataclass(repr=False)
class CountedSolution(Solution):
    """A `Solution`, with its work.

    Attributes:
        products: of the set-up and all iterations, in products with A (`Built.products`).
    """

    products: float = 0.0


class TunedMultigrid(Tuned):
    """Conjugate gradients with PyAMG's multigrid, whose settings are chosen for each matrix.

        tuned = TunedMultigrid()
        for A, b in systems:
            x = tuned(A, b).x

    The settings are `ARMS`: coarsening, threshold of strength, sweeps, and the size of the coarsest
    level; the last is PyAMG's default. If a setting fails, `pdeops.solve` chooses another method.

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
        self._options: dict[str, Any] = {"rtol": rtol, "max_iterations": max_iterations}
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
        return solve_by_multigrid(system, b, setting, x0=x0, **self._options)

    def _any(self, system: System, b: Any, x0: Any) -> Solution:
        return solve(system, b, x0=x0, **self._options)


def solve_by_multigrid(
    system: System, b: Any, setting: Mapping[str, Any], **options: Any
) -> CountedSolution:
    """x by conjugate gradients with a cycle of PyAMG's multigrid.

    Args:
        setting: the arguments of `amg_settings.build`.
        options: those of `pdeops.solve`.

    Raises:
        ValueError: PyAMG has no hierarchy for A, or as for `pdeops.solve`.
    """
    built: list[Built] = []

    def M(system: System) -> Any:
        built.append(build(system, **setting))
        return built[-1].M

    name = ", ".join(f"{name} {value}" for name, value in setting.items())
    found = solve(system, b, method=Method(f"PyAMG ({name})", "", M), **options)
    iterations = sum(column.iterations for column in found.columns or [found])
    return CountedSolution(**vars(found), products=built[-1].products(iterations))


def _features(system: System, b: Any, x0: Any) -> Any:
    return matrix_features(system)


def products(solution: CountedSolution) -> float:
    """The work of a solution, in products with A."""
    return solution.products


COSTS = {"products": products, "seconds": None}
