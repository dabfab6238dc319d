"""Affine models of the residual of an evolution equation, for Gauss-Newton."""
# Axes: b batch, k frame, t frame that changes, c channel, *space nodes, *waves coefficients on the
# padded grid, i components.

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from .time_derivative import in_time


class AffineResidual:
    """w ↦ r(w) = r(0) + A w, the components of an affine model of R in an orthonormal basis of
    L²(t_0, t_end; H^s) (`TrajectoryEstimator.components`), so that |r(w)|² = η².

    Two models of R at a trajectory u, both equal to R(u) at w = u. `frozen`: the coefficients of N,
    such as the velocity, are those of u. Otherwise N is linearised, and A = R'(u) is the Jacobian.
    A Gauss-Newton step solves the normal equations AᵀA d = -Aᵀ r(u) by `apply` and `adjoint`.

    u is kept without its gradient; apply and adjoint are linear and differentiable.

    Args:
        num_given: w is u in so many frames, the first; w and d hold the later ones only.
    """

    def __init__(
        self,
        estimator: Any,
        u: Float[Tensor, "b k c *space"],
        *,
        frozen: bool,
        num_given: int = 0,
    ) -> None:
        if not isinstance(estimator.derivative, Tensor):
            raise ValueError(
                "An affine model needs a time derivative that is linear in the frames; got a "
                "function. Use Differences, or the matrix of the basis in time."
            )
        self.estimator, self.u, self.num_given = estimator, u.detach(), num_given
        self._free = self.u[:, num_given:]
        self._model = self._linear_part("frozen" if frozen else "tangent")
        self._graph: tuple[Tensor, Tensor] | None = None  # d and A d, for the transpose
        self._at_zero: Tensor | None = None

    def __call__(self, w: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b i"]:
        """r(w)."""
        return self.constant() + self.apply(w)

    def constant(self) -> Float[Tensor, "b i"]:
        """r(0)."""
        if self._at_zero is None:
            with torch.no_grad():
                self._at_zero = self.estimator.components(self.u) - self.apply(self._free)
        return self._at_zero

    def apply(self, d: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b i"]:
        """A d."""
        estimator, n = self.estimator, self.num_given
        d_hat = estimator.space.difference(d)
        rate = in_time(estimator.derivative[:, n:], d_hat)
        free = estimator.space.linear(d_hat) + self._model(d_hat) - rate[:, n:]
        return estimator.whiten(torch.cat([-rate[:, :n], free], 1) if n else free)

    def adjoint(self, r: Float[Tensor, "b i"]) -> Float[Tensor, "b t c *space"]:
        """Aᵀ r, the exact transpose: Σ (A d) r = Σ d (Aᵀ r) over components and over node values.
        Aᵀ r(u) of the Jacobian is the gradient of η²/2 in the node values of u."""
        if self._graph is None:
            with torch.enable_grad():
                d = torch.zeros_like(self._free, requires_grad=True)
                self._graph = (d, self.apply(d))
        d, Ad = self._graph
        return torch.autograd.grad(Ad, d, r, retain_graph=True)[0]

    def _linear_part(self, model: str) -> Callable[[Tensor], Tensor]:
        """d ↦ the linear part of the equation's `frozen` or `tangent` at every frame."""
        equation, space = self.estimator.equation, self.estimator.space
        with torch.no_grad():
            u_hat = space.forward(self._free)
            if equation.autonomous:
                frames, times = [u_hat.flatten(0, 1)], [0.0]
            else:
                frames, times = list(u_hat.unbind(1)), self.estimator.times[self.num_given :]
            maps = [getattr(equation, model)(v, t) for v, t in zip(frames, times, strict=True)]
            # A tangent is linear; N_u is affine, and its constant is a force.
            at_zero: list[Any] = [0.0] * len(maps)
            if model == "frozen":
                at_zero = [f(torch.zeros_like(v)) for f, v in zip(maps, frames, strict=True)]

        def apply(d_hat: Inexact[Tensor, "b t c *waves"]) -> Inexact[Tensor, "b t c *waves"]:
            if equation.autonomous:
                return (maps[0](d_hat.flatten(0, 1)) - at_zero[0]).unflatten(0, d_hat.shape[:2])
            parts = zip(maps, at_zero, d_hat.unbind(1), strict=True)
            return torch.stack([f(d) - zero for f, zero, d in parts], 1)

        return apply
