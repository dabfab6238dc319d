"""Exponential time differencing of order 4: L is integrated exactly, N by Runge-Kutta."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Inexact
from torch import Tensor

from ...kernels import etdrk4
from .evolution import Evolution
from .stepper import Stepper


class ETDRK4(Stepper):
    """ETDRK4 (Cox and Matthews 2002, eqs. 26-29): exact for constant N, order 4 in dt.

        a = E₂u + Q N(u),  b = E₂u + Q N(a),  c = E₂a + Q (2N(b) - N(u)),   E₂ = exp(L dt/2),
        u' = E u + f₁ N(u) + 2 f₂ (N(a) + N(b)) + f₃ N(c),   Q = dt/2 φ₁(L dt/2),

    f₁ = dt (φ₁ - 3φ₂ + 4φ₃), f₂ = dt (φ₂ - 2φ₃), f₃ = dt (4φ₃ - φ₂) at L dt; see
    `phi_functions`. L is a number per wave, or a matrix per wave that couples the channels. Suited
    to stiff L (KdV, Kuramoto-Sivashinsky): only N limits dt.
    """

    order = 4
    courant_limit = 1.35  # |Im z| <= 2.83 over the 2/3 of π that dealiasing leaves

    def __init__(self, equation: Evolution, u_hat: Inexact[Tensor, "*state"]) -> None:
        super().__init__(equation, u_hat)
        if equation.coupled:
            return
        self.N = [torch.empty_like(u_hat) for _ in range(4)]
        self.a, self.b = torch.empty_like(u_hat), torch.empty_like(u_hat)
        self.sums = etdrk4.bind(u_hat, equation.symbol)

    def step(self, u_hat: Inexact[Tensor, "*state"], t: float, dt: float) -> None:
        if self.equation.coupled:
            self._coupled_step(u_hat, t, dt)
            return
        E, E2, Q, f1, f2, f3 = self.coefficients(dt, u_hat)
        sums, into, half = self.sums, self.equation.nonlinear_into, t + dt / 2
        Nu, Na, Nb, Nc = self.N
        a, b = self.a, self.b
        into(u_hat, t, Nu)
        sums.pair(E2, u_hat, Q, Nu, a)
        into(a, half, Na)
        sums.pair(E2, u_hat, Q, Na, b)
        into(b, half, Nb)
        sums.last_stage(E2, a, Q, Nb, Nu, b)
        into(b, t + dt, Nc)
        sums.update(u_hat, (E, f1, f2, f3), self.N)

    def _coupled_step(self, u_hat: Tensor, t: float, dt: float) -> None:
        """A step with a matrix per wave."""
        table = self.coefficients(dt, u_hat)
        u_hat.copy_(etdrk4_step(self.equation.nonlinear, table, u_hat, t, dt, coupled=True))

    def table(self, dt: float) -> list[Inexact[Tensor, "*waves"]]:
        """E, E₂, Q, f₁, f₂, f₃."""
        return etdrk4_table(self.equation, dt)


def etdrk4_table(equation: Evolution, dt: float) -> list[Inexact[Tensor, "*waves"]]:
    """E, E₂, Q, f₁, f₂, f₃ of `ETDRK4` (float64 or complex128)."""
    phi = matrix_phi_functions if equation.coupled else phi_functions
    E, p1, p2, p3 = phi(dt * equation.symbol)
    E2, half, *_ = phi(dt / 2 * equation.symbol)
    f1, f2, f3 = dt * (p1 - 3 * p2 + 4 * p3), dt * (p2 - 2 * p3), dt * (4 * p3 - p2)
    return [E, E2, dt / 2 * half, f1, f2, f3]


def etdrk4_step(
    N: Callable[[Tensor, float], Tensor],
    table: Sequence[Tensor],
    u_hat: Inexact[Tensor, "*state"],
    t: float,
    dt: float,
    *,
    coupled: bool = False,
) -> Inexact[Tensor, "*state"]:
    """The state after a step of `ETDRK4` by plain torch, out of place and differentiable.

    Args:
        N: the nonlinear term of a state and a time.
        table: of `etdrk4_table`, in the precision of the state.
        coupled: the table holds a matrix per wave.
    """
    E, E2, Q, f1, f2, f3 = table
    x = _matrix_product if coupled else torch.mul
    half = t + dt / 2
    Nu = N(u_hat, t)
    E2u = x(E2, u_hat)
    a = E2u + x(Q, Nu)
    Na = N(a, half)
    Nb = N(E2u + x(Q, Na), half)
    c = x(E2, a) + x(Q, 2 * Nb - Nu)
    Nc = N(c, t + dt)
    return x(E, u_hat) + x(f1, Nu) + 2 * x(f2, Na + Nb) + x(f3, Nc)


def _matrix_product(factor: Tensor, u_hat: Tensor) -> Tensor:
    """A matrix per wave times the channels."""
    return torch.einsum("ij...,bj...->bi...", factor, u_hat)


def phi_functions(z: Inexact[Tensor, "*waves"]) -> list[Inexact[Tensor, "*waves"]]:
    """exp(z) and φ_k(z) = Σ_j z^j/(j+k)!, k = 1, 2, 3, of each entry to a few eps.

    The recurrence φ_k+1 = (φ_k - 1/k!)/z loses all digits near zero, so the Taylor series is used
    for |z| <= 1. For larger |z| the recurrence loses at most two digits.
    """
    small = z.abs() <= 1
    near, far = torch.where(small, z, 0), torch.where(small, 1, z)
    values = [z.exp()]
    for k in (1, 2, 3):
        recurrence = (torch.where(small, 0, values[-1]) - 1 / math.factorial(k - 1)) / far
        series = torch.zeros_like(z)
        for j in range(18, -1, -1):
            series = series * near + 1 / math.factorial(j + k)
        values.append(torch.where(small, series, recurrence))
    return values


def matrix_phi_functions(Z: Inexact[Tensor, "c c *waves"]) -> list[Inexact[Tensor, "c c *waves"]]:
    """`phi_functions` of a matrix per wave, diagonalisable or not.

    The block matrix with first row (Z, 1, 0, 0) and identities on the superdiagonal below has an
    exponential with first row exp(Z), φ₁, φ₂, φ₃ (Saad 1992; Sidje 1998).
    """
    c = Z.shape[0]
    A = Z.movedim((0, 1), (-2, -1))
    block = A.new_zeros(*A.shape[:-2], 4 * c, 4 * c)
    block[..., :c, :c] = A
    for i in range(3):
        rows, columns = slice(i * c, (i + 1) * c), slice((i + 1) * c, (i + 2) * c)
        block[..., rows, columns] = torch.eye(c, dtype=Z.dtype)
    first = torch.linalg.matrix_exp(block)[..., :c, :]
    return [p.movedim((-2, -1), (0, 1)) for p in first.split(c, -1)]
