"""The methods that `preconditioners.py` compares: set-up, solution, and arithmetic work."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import scipy.sparse
import torch
from torch import Tensor

from pdeops.compare.linear_methods import LinearMethod, LinearSystem, conjugate, direct
from pdeops.linop import LinearOperator
from pdeops.models import DeepConjugate
from pdeops.models.corrections.vcycle import VCyclePreconditioner
from pdeops.solvers import (
    Diffusion,
    FastPoisson,
    Multigrid,
    RugeStueben,
    SmoothedAggregation,
    SolveResult,
    preconditioners,
)
from pdeops.solvers.direct.sparse import factor, regular
from pdeops.solvers.multigrid.smoothers import Chebyshev, GaussSeidel, LineGaussSeidel
from pdeops.solvers.result import relative_residual
from pdeops.tasks.preconditioner import load_correction

from .opponents import OPPONENTS, Given, Solve
from .systems import Family

RTOL, MOST = 1e-8, 1000
FROM_POLYSOLVE = ("CHOLMOD", "PARDISO", "BoomerAMG+CG")
SLACK = 1.1  # accepted ratio of the true residual of a method by others to the tolerance
PATIENCE = 50  # largest number of iterations of methods whose iterations may take seconds


class Assembled(LinearOperator):
    """A with its matrix, assembled outside the timed calls."""

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


@dataclass(frozen=True, eq=False)
class Drawn(LinearSystem):
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
class Counted(LinearMethod[Drawn]):
    """A method with the arithmetic work of an iteration.

    Attributes:
        work: (system, M) -> operations of an iteration, as a multiple of those of a product with A;
            None where operations say nothing about the time.
        applies: whether M can be applied to a vector on its own.
    """

    work: Callable[[Drawn, Any], float | None] = lambda s, M: None
    applies: bool = True


def cycle_work(s: Drawn, M: Multigrid) -> float:
    """Sweeps and residuals on all levels, and the product with A in CG.

    Coarse levels couple along diagonals too, except where these couplings are moved onto the
    axes. A line smoother makes one sweep for each of its axes, with two more terms per node for the
    backward substitution.
    """
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
    """`cycle_work` of a V-cycle of PyAMG with one symmetric sweep (two sweeps) before and after."""
    levels = [level.A.nnz for level in M.hierarchy.levels]
    return 5 * sum(levels) / levels[0] + 1


def by_transform(s: Drawn, M: FastPoisson) -> SolveResult | Tensor:
    """The direct solution by trigonometric transforms where A is constant, else CG with it."""
    return conjugate(s, M) if s.A.constant is None else M @ s.b


def by_other(name: str) -> Counted:
    """A solver by others; where A is singular it receives a regular matrix with the same solutions,
    as PyAMG does here."""
    other = OPPONENTS[name]

    def given(s: Drawn) -> Given:
        return Given(scipy.sparse.csr_matrix(regular(s.assembled)), s.rtol, s.A.ndim)

    def solve(s: Drawn, run: Solve) -> SolveResult | Tensor:
        found = run(s.b.numpy().ravel())
        x = torch.from_numpy(found.x).reshape(s.b.shape)
        if other.direct:
            return x
        residual = relative_residual(s.A, x, s.b)
        reason = f"{name}: |b - A x| = {residual:.1e} |b|"
        return SolveResult(x, residual <= SLACK * s.rtol, found.iterations, [residual], reason)

    def fits(s: Drawn) -> bool:
        return not other.why_not(Given(s.assembled.matrix, s.rtol, s.A.ndim))

    return Counted(lambda s: other.set_up(given(s)), solve, fits, applies=False)


def learned(name: str) -> Counted:
    """A network by name or run folder; one that proposes conjugate directions applies to Poisson
    systems only."""
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
    "IC(0)": Counted(
        lambda s: preconditioners.CLASSICAL["ic0"](s.assembled), work=lambda s, M: 2.0
    ),
    "waves": Counted(  # trigonometric transforms; committed results have this name
        lambda s: FastPoisson.of(s.A), by_transform, fits=lambda s: s.family.kind != "obstacles"
    ),
    "sparse LU": Counted(lambda s: factor(s.assembled), direct, fits=lambda s: s.family.ndim == 2),
    **{name: by_other(name) for name in FROM_POLYSOLVE},
}
# Methods by others.
OTHERS = ("PyAMG Ruge-Stüben", "PyAMG smoothed aggregation", "sparse LU", *FROM_POLYSOLVE)
CYCLES = {
    f"multigrid {kind}({k},{k}) {type(smoother).__name__}": (kind, (k, k), smoother)
    for kind, k, smoother in product("VW", (1, 2), (GaussSeidel(), LineGaussSeidel(), Chebyshev(2)))
}
BEST_CYCLE = f", best of {len(CYCLES)}"  # appended to the name of the fastest one


def variant(kind: str, sweeps: tuple[int, int], smoother: Any) -> Counted:
    return Counted(
        lambda s: Multigrid(s.A, cycle=kind, sweeps=sweeps, smoother=smoother), work=cycle_work
    )


def is_network(name: str) -> bool:
    """Whether a method of this name is a network, that is, none of the others."""
    return name not in CLASSICAL and name.removesuffix(BEST_CYCLE) not in CYCLES
