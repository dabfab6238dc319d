"""Gauss-Newton and Levenberg-Marquardt, for objectives that are sums of squares."""
# Axes: i residuals, p parameters.

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

_MAX_TRIALS = 12  # steps tried before the parameters are left as they are


class Linearisation(NamedTuple):
    """An objective |r(θ)|² at parameters θ0.

    Attributes:
        r: the residuals at θ0, with the weights of the objective.
        J: their derivatives.
        loss: |r|² at the present parameters, with the weights at θ0. Weights that depend on r
            (causal weights) would otherwise fall while r grows, and a step that makes r larger
            would be taken.
    """

    r: Float[Tensor, " i"]
    J: Float[Tensor, "i p"]
    loss: Callable[[], float]


class LevenbergMarquardt(torch.optim.Optimizer):
    """The torch optimizer of `optim.GaussNewton`, for the parameters that have a gradient. Its
    closure sets the gradients, and its attribute `linearise` gives a `Linearisation`."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        damping: float,
        rcond: float,
        least_damping: float = 0.0,
    ) -> None:
        defaults = {"lr": 1.0, "damping": damping, "rcond": rcond, "least_damping": least_damping}
        super().__init__(parameters, defaults)
        self.param_groups[0].update(first_damping=damping, trained=[])

    @torch.no_grad()
    def step(self, closure: Any = None) -> float:  # type: ignore[override]
        (group,) = self.param_groups
        trained = [i for i, p in enumerate(group["params"]) if p.grad is not None]
        if trained != group["trained"]:  # the λ that the last time window ended with is too small
            group["trained"], group["damping"] = trained, group["first_damping"]
        weights = [group["params"][i] for i in trained]
        loss = torch.enable_grad()(closure)()
        r, J, loss_at = closure.linearise()
        start = torch.nn.utils.parameters_to_vector(weights)
        solve = _solver(J, r, group["rcond"], damped=group["damping"] > 0)
        fraction = 1.0
        for _ in range(_MAX_TRIALS):
            d = solve(group["damping"])
            torch.nn.utils.vector_to_parameters(start + fraction * d, weights)
            if loss_at() < loss:  # not if it is not finite
                group["damping"] = max(group["damping"] / 3, group["least_damping"])
                return loss
            if group["damping"] > 0:
                group["damping"] *= 4
            else:
                fraction /= 2
        torch.nn.utils.vector_to_parameters(start, weights)
        return loss


def _solver(
    J: Float[Tensor, "i p"], r: Float[Tensor, " i"], rcond: float, *, damped: bool
) -> Callable[[float], Float[Tensor, " p"]]:
    """λ ↦ the step."""
    if not damped:
        step = least_squares(J, -r, rcond)
        return lambda damping: step
    scale = J.norm(dim=0)
    scale = torch.where(scale > 0, scale, 1.0)
    A = J / scale
    wide = A.shape[0] < A.shape[1]
    # (AᵀA + λ)⁻¹ Aᵀ = Aᵀ (AAᵀ + λ)⁻¹: the smaller of the two matrices is factored.
    product, right = (A @ A.T, r) if wide else (A.T @ A, A.T @ r)

    def solve(damping: float) -> Tensor:
        shifted = product + damping * torch.eye(len(product), dtype=J.dtype, device=J.device)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        if failed:  # λ is below the round-off of the largest eigenvalue
            return torch.full_like(scale, torch.nan)
        y = torch.cholesky_solve(right[:, None], factor)[:, 0]
        return -(A.T @ y if wide else y) / scale

    return solve


def least_squares(A: Tensor, b: Tensor, rcond: float | int) -> Tensor:
    """x of least norm with |Ax - b| minimal, by QR of (A b) and the singular values of R, columns
    scaled to norm one."""
    scale = A.norm(dim=0)
    scale = torch.where(scale > 0, scale, 1.0)
    R = torch.linalg.qr(torch.cat([A / scale, b[:, None]], 1), mode="r").R
    U, s, Vh = torch.linalg.svd(R[:-1, :-1] if len(R) > A.shape[1] else R[:, :-1])
    d = U.mT @ (R[:-1, -1] if len(R) > A.shape[1] else R[:, -1])
    y = torch.where(s > rcond * s[0], d[: len(s)] / s.clamp(min=torch.finfo(s.dtype).tiny), 0.0)
    return (Vh[: len(s)].mT @ y) / scale
