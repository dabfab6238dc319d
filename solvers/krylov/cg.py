"""Preconditioned conjugate gradients."""

from contextlib import nullcontext

from jaxtyping import Float
from torch import Tensor

from ...kernels.runtime.threads import ours_alone
from ...linop import LinearOperator
from ..result import SolveResult
from .conjugate_gradients import is_fused, start
from .loop import require_definite
from .race import solve_or_race


def cg(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: LinearOperator | None = None,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    A_norm: float | int | None = None,
    safeguard: LinearOperator | None = None,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| by conjugate gradients (Saad 2003, Alg. 9.1).

    A and M ≈ A⁻¹ are symmetric positive definite; M is fixed and linear (`check_spd` probes this;
    use `flexible_cg` for any other M). A may be semidefinite if it knows its kernel. Leading axes
    of b are a batch; each right-hand side stops on its own. x carries no gradient.

    The result is judged by the true residual, which is recomputed. If it exceeds the tolerance, the
    method restarts from it; when a restart no longer helps, round-off is the limit and the reason
    says so. `loop.solve` describes singular systems.

    Args:
        x0: initial guess, for example the prediction of a network; zero by default.
        A_norm: |A| or a bound; see `loop.steps`.
        safeguard: a trusted classical preconditioner, to be raced against a learned M; see
            `flexible_cg`.

    Raises:
        ValueError: A or M declares itself not symmetric positive definite, or shapes or dtypes
        differ.
    """
    require_definite(A, M)
    with ours_alone() if safeguard is None and is_fused(A, b, M) else nullcontext():
        return solve_or_race(
            start, A, b, M=M, safeguard=safeguard,
            x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm,
        )  # fmt: skip
