"""Linear least squares by preconditioned conjugate gradients, without matrices."""
# Axes: b independent problems, *unknowns, *rows.

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


@runtime_checkable
class Linearised(Protocol):
    """r + J d for independent samples, with the transpose of J and a preconditioner.

    Attributes:
        residual: r, (b, *rows).
    """

    residual: Tensor

    def apply(self, d: Float[Tensor, "b *unknowns"]) -> Float[Tensor, "b *rows"]:
        """J d."""
        ...

    def adjoint(self, y: Float[Tensor, "b *rows"]) -> Float[Tensor, "b *unknowns"]:
        """Jᵀ y."""
        ...

    def precondition(self, g: Float[Tensor, "b *unknowns"]) -> Float[Tensor, "b *unknowns"]:
        """M g with M ≈ (Jᵀ J)⁻¹, symmetric and positive semidefinite."""
        ...


@dataclass(frozen=True)
class Minimum:
    """An approximate minimiser d of |r + J d|.

    Attributes:
        iterations: number of products with J, and of products with Jᵀ after the first.
        reduction: √(g·M g) of the gradient g relative to that at d = 0, per sample.
        residual: |r + J d| per sample.
        stalled: the last iteration of the sample lowered |r + J d| by less than the fraction
            `drop`, so that about `residual` is the least value.
    """

    d: Float[Tensor, "b *unknowns"]
    iterations: int
    reduction: Float[Tensor, " b"]
    residual: Float[Tensor, " b"]
    stalled: Bool[Tensor, " b"]


@torch.no_grad()
def minimise(
    problem: Linearised, *, rtol: float | int, iterations: int, drop: float | int = 0.0
) -> Minimum:
    """d with |r + J d| nearly minimal: CGLS (Björck 1996, alg. 7.4.1), preconditioned, from d = 0.

    Each sample has its own step lengths, and |r + J d| falls in every iteration. A sample is done
    when the preconditioned norm of its gradient Jᵀ(r + J d) has fallen by `rtol`, or when an
    iteration lowers |r + J d| by less than the fraction `drop`: what remains is the residual of the
    least-squares solution.
    """
    r = -problem.residual
    s = problem.adjoint(r)
    z = problem.precondition(s)
    d, p = torch.zeros_like(z), z
    gamma = first = _dot(s, z)
    size, active = _dot(r, r), gamma > 0
    stalled, done = torch.zeros_like(active), 0
    while done < iterations and active.any():
        q = problem.apply(p)
        curvature = _dot(q, q)
        active = active & (curvature > 0)
        alpha = torch.where(active, gamma / curvature.where(active, 1.0), 0.0)
        d = d + per_sample(alpha, p) * p
        r = r - per_sample(alpha, r) * q
        s = problem.adjoint(r)
        z = problem.precondition(s)
        gamma, before = _dot(s, z), gamma
        p = z + per_sample(gamma / before.where(before > 0, 1.0), p) * p
        size, larger = _dot(r, r), size
        stalled = stalled | (active & (size >= (1 - drop) ** 2 * larger))
        active = active & (gamma > rtol**2 * first) & ~stalled
        done += 1
    reduction = (gamma / first.where(first > 0, 1.0)).clamp(min=0).sqrt()
    return Minimum(d, done, reduction, size.sqrt(), stalled)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def per_sample(values: Shaped[Tensor, " b"], like: Tensor) -> Tensor:
    """(b,) -> (b, 1, .., 1), to multiply a tensor of the shape of `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
