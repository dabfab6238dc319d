"""The methods that `preconditioners.py` compares: set-up, solution, and work by arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from pdeops.compare.phases import Method, System, conjugate, direct
from pdeops.linop import LinearOperator
from pdeops.models import DeepConjugate
from pdeops.models.corrections.vcycle import VCyclePreconditioner
from pdeops.solvers import (
    Diffusion,
    FastPoisson,
    IncompleteCholesky,
    Multigrid,
    RugeStueben,
    SmoothedAggregation,
    SolveResult,
)
from pdeops.solvers.direct.sparse import factor
from pdeops.solvers.multigrid.smoothers import Chebyshev, GaussSeidel, LineGaussSeidel
from pdeops.tasks.preconditioner import load_correction

from .systems import Family

RTOL, MOST = 1e-8, 1000
PATIENCE = 50  # iterations of a method that may take seconds for each


class Assembled(LinearOperator):
    """A with its matrix, made before the clock starts."""

    symmetric = semidefinite = True

    def __init__(self, A: Diffusion) -> None:
        self.A, self.grid, self.regions = A, A.grid, A.regions
        self.positive_definite, self.matrix = A.positive_definite, A.to_csr()

    def apply(self, u: Tensor) -> Tensor:
        return self.A.apply(u)

    def project(self, b: Tensor) -> Tensor:
        return self.A.project(b)

    def to_csr(self) -> Any:
        return self.matrix


@dataclass(frozen=True)
class Drawn(System):
    """One system of a family, and A in the forms that methods start from."""

    family: Family
    assembled: Assembled
    single: Diffusion  # A in float32

    @classmethod
    def of(cls, family: Family, n: int, seed: int) -> "Drawn":
        A = family(n, seed)
        generator = torch.Generator().manual_seed(seed)
        b = A.project(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
        return cls(A, b, RTOL, MOST, family, Assembled(A), A.to(torch.float32))


@dataclass(frozen=True)
class Counted(Method[Drawn]):
    """A method and its work: the products with A that an iteration costs by its arithmetic; None
    where that is no measure."""

    work: Callable[[Drawn, Any], float | None] = lambda s, M: None


def cycle_work(s: Drawn, M: Multigrid) -> float:
    """Sweeps and residuals on all levels, and CG's own product. Coarse levels couple along
    diagonals too, except the first one where these are shared out. Lines are a sweep for each of
    their axes, and two terms for the way back."""
    spec, ndim = M.spec, s.A.ndim
    each, back = spec.smoother.degree if isinstance(spec.smoother, Chebyshev) else 1, 0
    if isinstance(spec.smoother, LineGaussSeidel):
        each, back = len(spec.smoother.lines(s.A)), 2
    visits = 2 if spec.kind == "W" else 1
    sweeps = (spec.pre + spec.post) * each
    total = 0.0
    for level, shape in enumerate(M.shapes):
        share = torch.Size(shape).numel() / s.A.grid.num_nodes
        sparsified = M.shares is not None and (level == 1 or M.coarse == "sparsified")
        points = 2 * ndim + 1 if level == 0 or sparsified else 3**ndim
        terms = sweeps * (points + back) + points
        total += visits**level * share * terms / (2 * ndim + 1)
    return total + 1


def algebraic_work(s: Drawn, M: Any) -> float:
    """The same for a V-cycle of PyAMG with a symmetric sweep, which is two, before and after."""
    levels = [level.A.nnz for level in M.hierarchy.levels]
    return 5 * sum(levels) / levels[0] + 1


def waves(s: Drawn, M: FastPoisson) -> SolveResult | Tensor:
    """The direct solution where A is constant, else CG."""
    return conjugate(s, M) if s.A.constant is None else M @ s.b


def learned(name: str) -> Counted:
    """A network by name or run folder; one that proposes conjugate directions is for Poisson
    systems."""
    network: Any = load_correction(name)
    proposes = isinstance(network, DeepConjugate)

    def solve(s: Drawn, M: Any) -> SolveResult:
        return conjugate(replace(s, max_iterations=PATIENCE) if proposes else s, M)

    def fits(s: Drawn) -> bool:
        poisson = s.family.kind in ("obstacles", "closed")
        return network.ndim == s.family.ndim and (poisson or not proposes)

    def work(s: Drawn, M: Any) -> float | None:
        if isinstance(M, Multigrid):
            return cycle_work(s, M)
        return network.work / (2 * network.ndim + 1) + 1 if proposes else None

    return Counted(lambda s: network.on(s.A), solve, fits, work)


CLASSICAL = {
    "multigrid V(1,1)": Counted(lambda s: Multigrid(s.A), work=cycle_work),
    "multigrid V(1,1) in float32": Counted(lambda s: Multigrid(s.single), work=cycle_work),
    "vcycle, untrained": Counted(lambda s: VCyclePreconditioner(s.A.ndim).on(s.A), work=cycle_work),
    "PyAMG Ruge-Stüben": Counted(lambda s: RugeStueben(s.assembled), work=algebraic_work),
    "PyAMG smoothed aggregation": Counted(
        lambda s: SmoothedAggregation(s.assembled), work=algebraic_work
    ),
    "IC(0)": Counted(lambda s: IncompleteCholesky(s.assembled), work=lambda s, M: 2.0),
    "waves": Counted(
        lambda s: FastPoisson.of(s.A), waves, fits=lambda s: s.family.kind != "obstacles"
    ),
    "sparse LU": Counted(lambda s: factor(s.assembled), direct, fits=lambda s: s.family.ndim == 2),
}
CYCLES = {
    f"multigrid {kind}({k},{k}) {type(smoother).__name__}": (kind, (k, k), smoother)
    for kind, k, smoother in product("VW", (1, 2), (GaussSeidel(), LineGaussSeidel(), Chebyshev(2)))
}
BEST_CYCLE = f", best of {len(CYCLES)}"  # after the name of the one that was found


def variant(kind: str, sweeps: tuple[int, int], smoother: Any) -> Counted:
    return Counted(
        lambda s: Multigrid(s.A, cycle=kind, sweeps=sweeps, smoother=smoother), work=cycle_work
    )


def is_network(name: str) -> bool:
    """Whether a method of this name is a network: it is none of the others."""
    return name not in CLASSICAL and name.removesuffix(BEST_CYCLE) not in CYCLES
