"""Diagonally implicit Runge-Kutta schemes for linear equations, one linear system per stage."""
# Axes: i stage, j earlier stage and the known state u_n (j = 0), k origin of an error.

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.polynomial import Polynomial


@dataclass(frozen=True)
class DiagonallyImplicit:
    """A Runge-Kutta scheme a, b with a_ii = γ and a_ij = 0 for j > i, for S u' = -L u + S f.

    Its stages are states, and each is the solution of a system with the same matrix,

        (S / (γ Δt) + L) U_i = S (Σ_j α_ij U_j / (γ Δt) + f(t_n + c_i Δt)),   U_0 = u_n,

    and u_{n+1} = Σ_j β_j U_j. α and β follow from Δt F = a⁻¹ (U - u_n).

    Attributes:
        order: order of accuracy in Δt.
        matrix: a.
        weights: b.
    """

    order: int
    matrix: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]

    @property
    def gamma(self) -> float:
        """γ."""
        return self.matrix[0][0]

    @property
    def times(self) -> list[float]:
        """c_i."""
        return [sum(row) for row in self.matrix]

    @cached_property
    def combinations(self) -> Float[np.ndarray, "i j"]:
        """α, whose rows sum to one."""
        inverse = np.linalg.inv(np.array(self.matrix))
        earlier = np.tril(np.eye(len(inverse)) - self.gamma * inverse, -1)
        return np.column_stack([1 - earlier.sum(1), earlier])

    @cached_property
    def update(self) -> Float[np.ndarray, " j"]:
        """β, of sum one."""
        later = np.array(self.weights) @ np.linalg.inv(np.array(self.matrix))
        return np.array([1 - later.sum(), *later])

    def growth(self, decay: float) -> list[float]:
        """Bounds of |E|/|E_k| of the error E of u_{n+1} that an error E_0 of u_n causes, and an
        error E_k of the solution of stage k = 1, 2, ... .

        They hold in the norm of S, L or a sum of both: E = p_k(q) E_k with polynomials p_k of
        q = (1 + γ Δt S⁻¹ L)⁻¹, which is symmetric in these norms, and p_0 is the stability
        function.

        Args:
            decay: the largest eigenvalue of q, in (0, 1].
        """
        q, zero = Polynomial([0.0, 1.0]), Polynomial([0.0])
        bounds = []
        for k in range(len(self.matrix) + 1):
            p = [zero] * k + [Polynomial([1.0])]
            for row in self.combinations[k:]:
                p.append(q * sum((a * e for a, e in zip(row, p, strict=False)), zero))
            total = sum((b * e for b, e in zip(self.update, p, strict=True)), zero)
            roots: Any = total.deriv().roots()
            turns = [r.real for r in roots if 0 < r.real < decay]
            bounds.append(max(abs(total(x)) for x in [0.0, decay, *turns]))
        return bounds


def _alexander(gamma: float) -> tuple[tuple[float, ...], ...]:
    """The matrix of the stiffly accurate scheme of three stages (Alexander 1977, theorem 5)."""
    first = -(6 * gamma**2 - 16 * gamma + 1) / 4
    second = (6 * gamma**2 - 20 * gamma + 5) / 4
    return ((gamma, 0.0, 0.0), ((1 - gamma) / 2, gamma, 0.0), (first, second, gamma))


_SDIRK2 = ((1 - 0.5**0.5, 0.0), (0.5**0.5, 1 - 0.5**0.5))
_SDIRK3 = _alexander(0.43586652150845967)

# Midpoint is A-stable, and equal to Crank-Nicolson if f is linear in time; the others are L-stable.
IMPLICIT_EULER = DiagonallyImplicit(1, ((1.0,),), (1.0,))
MIDPOINT = DiagonallyImplicit(2, ((0.5,),), (1.0,))
SDIRK2 = DiagonallyImplicit(2, _SDIRK2, _SDIRK2[-1])
SDIRK3 = DiagonallyImplicit(3, _SDIRK3, _SDIRK3[-1])
