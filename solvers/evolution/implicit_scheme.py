"""Implicit one-step schemes as residuals, for a new state that is any differentiable function."""
# Axes: i stage, j evaluation of F, k state (u_n, then the stages); *field any further axes.

from dataclasses import dataclass

import torch
from jaxtyping import Inexact
from torch import Tensor


@dataclass(frozen=True)
class ImplicitScheme:
    """A one-step scheme for u' = F(u, t) whose last stage is the new state,

        U_i = u_n + Δt Σ_j a_ij F(V_j, t_n + c_j Δt),   V_j = Σ_k b_jk U_k,   U_0 = u_n,

    i = 1 .. s, u_{n+1} = U_s. A solver determines U_1 .. U_s together.

    Attributes:
        order: order of accuracy in Δt.
        weights: a, one row per stage.
        points: b, one row per evaluation of F; the entries of a row sum to one.
        times: c, one per evaluation.
    """

    order: int
    weights: tuple[tuple[float, ...], ...]
    points: tuple[tuple[float, ...], ...]
    times: tuple[float, ...]

    @property
    def num_stages(self) -> int:
        """s, the number of unknown states."""
        return len(self.weights)

    def evaluated(self, states: Inexact[Tensor, "k *field"]) -> Inexact[Tensor, "j *field"]:
        """V from U_0 .. U_s, or any linear functional of V from the same functional of U."""
        return torch.einsum("jk,k...->j...", states.new_tensor(self.points), states)

    def residual(
        self,
        states: Inexact[Tensor, "k *field"],
        rates: Inexact[Tensor, "j *field"],
        dt: float,
    ) -> Inexact[Tensor, "i *field"]:
        """U_i - u_n - Δt Σ_j a_ij F_j; zero for a solution.

        Args:
            states: U_0 .. U_s.
            rates: F at V_j and t_n + c_j Δt.
        """
        weights = states.new_tensor(self.weights)
        return states[1:] - states[:1] - dt * torch.einsum("ij,j...->i...", weights, rates)


# Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.5. All are A-stable;
# the midpoint rule, the trapezoidal rule and Lobatto IIIA are symmetric: waves are not damped.
SCHEMES: dict[str, ImplicitScheme] = {
    "implicit_euler": ImplicitScheme(1, ((1.0,),), ((0.0, 1.0),), (1.0,)),
    "midpoint": ImplicitScheme(2, ((1.0,),), ((0.5, 0.5),), (0.5,)),
    "trapezoid": ImplicitScheme(2, ((0.5, 0.5),), ((1.0, 0.0), (0.0, 1.0)), (0.0, 1.0)),
    "radau": ImplicitScheme(
        3,
        ((5 / 12, -1 / 12), (3 / 4, 1 / 4)),
        ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        (1 / 3, 1.0),
    ),
    "lobatto": ImplicitScheme(
        4,
        ((5 / 24, 1 / 3, -1 / 24), (1 / 6, 2 / 3, 1 / 6)),
        ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        (0.0, 0.5, 1.0),
    ),
}
