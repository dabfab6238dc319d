"""Conjugate directions proposed by a network (Kaneda et al., ICML 2023)."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...linop import LinearOperator
from ..result import SolveResult
from .flexible_cg import FlexibleCG
from .loop import require_definite
from .race import solve_or_race

Net = LinearOperator | Callable[[Tensor], Tensor]


def deep_conjugate_direction(
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    net: Net,
    *,
    num_previous: int = 2,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    A_norm: float | int | None = None,
    safeguard: LinearOperator | None = None,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| along directions that a network proposes.

    A is symmetric positive definite, or semidefinite with a known kernel. Each step asks the
    network f once and multiplies with A once:

        q = P f(r/|r|),    p = q - Σ ⟨q, A p_j⟩ / ⟨p_j, A p_j⟩ p_j  over the last directions p_j,
        x ← x + α p,  r ← r - α A p,    α = ⟨p, r⟩ / ⟨p, A p⟩,

    where P projects on the range of A. So |x - A⁻¹b|_A² decreases by ⟨p, r⟩² / ⟨p, A p⟩ and never
    grows, whatever f is; scale, sign and kernel component of its output do not matter. The identity
    gives `cg`; the pseudo-inverse of A gives the solution in one step. If f is useless (NaN, zero,
    a field in the kernel, orthogonal to r), the step uses r instead, and `reason` counts such
    steps.

    r and x keep the precision of b: a network in float32 does not limit the accuracy of x.

    Args:
        net: f, a map of fields (b, 1, *space) of Euclidean norm 1 to the same shape. A module gets
            them in the precision and on the device of its parameters; call its `eval()` first.
        num_previous: number of previous directions to which p is made A-orthogonal; each needs two
            fields. One is enough if f is nearly linear and symmetric; 0 is steepest descent along
            f.
        safeguard: a trusted classical preconditioner such as `Multigrid(A)`. CG with it runs
            concurrently, in turns of measured time, until one of the two converges: the time is at
            most twice that of CG alone plus one application of net, whatever net does. The result
            is a `RaceResult` with the winner (`solvers/krylov/race.py`).

    Everything else is as for `cg`.

    Raises:
        ValueError: A declares itself not symmetric positive definite, `num_previous` is negative,
        the network returns another shape, or shapes or dtypes differ.
    """
    require_definite(A, None)
    if num_previous < 0:
        raise ValueError(f"num_previous must be 0 or more; got {num_previous}. 2 is a good value.")
    return solve_or_race(
        partial(FlexibleCG, directions=num_previous),
        A, b, M=_directions(net, A), x0=x0, rtol=rtol, max_iterations=max_iterations, A_norm=A_norm,
        safeguard=safeguard,
    )  # fmt: skip


def _directions(net: Net, A: LinearOperator) -> Callable[[Tensor], Tensor]:
    """r -> P f(r/|r|) for fields with or without a batch axis; 0 if only round-off remains of f
    after the projection."""
    space = A.grid.shape
    f = net.apply if isinstance(net, LinearOperator) else net
    parameter = next(net.parameters(), None) if isinstance(net, nn.Module) else None

    def propose(r: Tensor) -> Tensor:
        # Norms and the projection in the precision of r: a trained f may be almost all kernel.
        fields = r.reshape(-1, 1, *space)
        unit = fields / _norms(fields).clamp(min=torch.finfo(r.dtype).tiny)
        out = f(unit if parameter is None else unit.to(parameter))
        if out.shape != fields.shape:
            raise ValueError(
                f"A network of directions maps fields (b, 1, *space) to the same shape; got "
                f"{tuple(out.shape)} for {tuple(fields.shape)}."
            )
        z = out.to(r)
        q = A.project(z)
        round_off = 10 * torch.finfo(out.dtype).eps * _norms(z)
        return torch.where(_norms(q) <= round_off, 0, q).reshape(r.shape)

    return propose


def _norms(u: Tensor) -> Tensor:
    """The Euclidean norm of each field of a batch, as a number per field that broadcasts."""
    return torch.linalg.vector_norm(u, dim=tuple(range(1, u.ndim)), keepdim=True)
