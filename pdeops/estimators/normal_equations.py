"""The linear least-squares problem of a Gauss-Newton step for the frames of a trajectory."""
# Axes: b batch, k all frames, t free frames, c channel, *space nodes, i components.

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class NormalEquations:
    """Trajectories u ↦ r(u) + J d, where d changes the frames after the given ones.

    r are the components of the residual, |r| = η, and J is its Jacobian. The preconditioner, the
    exact inverse of the linear part, is made once.

    r is formed in the precision of u, then rounded to `dtype`, in which d is sought: a step needs a
    few digits, since the next one starts from a new r.

    Args:
        estimator: an `EvolutionResidual` whose derivative is a matrix in time.
        num_given: number of known frames.
    """

    def __init__(
        self, estimator: Any, num_given: int, *, dtype: torch.dtype = torch.float32
    ) -> None:
        self.estimator, self.num_given, self.dtype = estimator, num_given, dtype
        self.inverse: Callable[[Tensor], Tensor] = estimator.linear_part(num_given)

    def __call__(self, u: Float[Tensor, "b k c *space"]) -> "LeastSquaresStep":
        """The problem around u."""
        return LeastSquaresStep(self, u)


class LeastSquaresStep:
    """|r(u) + J d| with J, its transpose and the preconditioner; see `NormalEquations`."""

    def __init__(self, equations: NormalEquations, u: Float[Tensor, "b k c *space"]) -> None:
        self.residual = equations.estimator.components(u).detach().to(equations.dtype)
        self.model = equations.estimator.linearised(u.to(equations.dtype), equations.num_given)
        self.inverse = equations.inverse

    def apply(self, d: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b i"]:
        """J d."""
        return self.model.apply(d)

    def adjoint(self, r: Float[Tensor, "b i"]) -> Float[Tensor, "b t c *space"]:
        """Jᵀ r."""
        return self.model.adjoint(r)

    def precondition(self, g: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b t c *space"]:
        """(AᵀA)⁻¹ g with the linear part A of J."""
        return self.inverse(g)
