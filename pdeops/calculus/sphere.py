"""Calculus on a sphere: decomposition of every field on the nodes by spherical harmonic degree.

Harmonics alone do not represent every field on the nodes: a field on 33 x 64 equiangular nodes has
2112 values, but the quadrature keeps only 17² = 289 harmonics orthogonal. Therefore the basis is
built by degree. Let V_l be the space of node values of sums of harmonics up to degree l. The
Gram-Schmidt process in the inner product of the quadrature gives the part of V_l orthogonal to
V_{l-1},

    ‖u‖² = Σ_l ‖u_l‖² + ‖r‖²,   u_l in V_l, orthogonal to V_{l-1},   r orthogonal to all of them,

exactly, for every field. Up to l = `harmonic_degree` the basis functions are the harmonics, and the
coefficients equal those of `spherical.SphericalTransform`. Above it, up to `largest_degree`,
harmonics are still linearly independent on the nodes, and aliases are removed first (on 33
equiangular latitudes the H¹ norm of Y_lm with 16 < l <= 31 is accurate to 3 %). The remainder r is
orthogonal to all these harmonics; norms and bands assign r the lowest degree that it can have,
largest_degree + 1 or its order m. For a smooth field r is of the size of round-off.

For each order m the transform is one orthogonal matrix (QR), so it is a bijection.
"""
# Axes: *batch leading axes, lat lon nodes, m order; row: degree l where m <= l <= largest_degree,
# else the remainder of that order.

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ..domain import Sphere
from .calculus import Calculus
from .spherical import evaluate, legendre, matmul_by_order, unaliased_degree


class SphereCalculus(Calculus):
    """Expansion of fields by degree l and order m; λ = l(l+1)/R². Coefficients (n_lat, orders).

    Attributes:
        harmonic_degree: largest l for which u_l is the spherical harmonic component of degree l.
        largest_degree: largest l for which u_l exists: n_lat - 1 on Gauss latitudes, n_lat - 2 on
            equiangular latitudes, because a pole holds a single value.
    """

    def __init__(self, sphere: Sphere) -> None:
        self.domain = sphere
        self.harmonic_degree = unaliased_degree(sphere, factors=1)
        self.largest_degree = max(sphere.shape[0] - 1 - sphere.poles_stored, 0)
        self._matrices: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def __repr__(self) -> str:
        return f"SphereCalculus({self.domain!r})"

    def transform(self, u: Float[Tensor, "*batch lat lon"]) -> Complex[Tensor, "*batch row m"]:
        self.domain.check(u)
        return matmul_by_order(torch.fft.rfft(u, norm="forward"), self._matrix("analysis", u))

    def inverse_transform(
        self, u_hat: Complex[Tensor, "*batch row m"]
    ) -> Float[Tensor, "*batch lat lon"]:
        if tuple(u_hat.shape[-2:]) != tuple(self.wave_number.shape):
            raise ValueError(
                f"The coefficients on this sphere have shape (..., {self.domain.shape[0]}, "
                f"{self._orders}); got {tuple(u_hat.shape)}. Make them with transform() on the "
                f"same sphere."
            )
        waves = matmul_by_order(u_hat, self._matrix("synthesis", u_hat))
        return torch.fft.irfft(waves, n=self.domain.shape[1], norm="forward")

    @cached_property
    def parseval_weights(self) -> Float[Tensor, "row m"]:
        """R² for self-conjugate orders (m = 0 and n_lon / 2), 2R² for the other orders."""
        n_lat, n_lon = self.domain.shape
        m = torch.arange(self._orders)
        alone = (m == 0) | (2 * m == n_lon)
        weights = torch.where(alone, 1.0, 2.0).double() * self.domain.radius**2
        return weights.expand(n_lat, -1).clone()

    @cached_property
    def wave_number(self) -> Float[Tensor, "row m"]:
        """Degree l; for the remainder of order m the lowest degree that it can have."""
        l = torch.arange(self.domain.shape[0], dtype=torch.float64)[:, None]
        m = torch.arange(self._orders, dtype=torch.float64)
        inside = (l >= m) & (l <= self.largest_degree)
        return torch.where(inside, l, m.clamp(min=self.largest_degree + 1))

    @cached_property
    def symbol(self) -> Float[Tensor, "row m"]:
        return self.wave_number * (self.wave_number + 1) / self.domain.radius**2

    def resample(
        self, u: Float[Tensor, "*batch lat lon"], shape: Sequence[int]
    ) -> Float[Tensor, "*batch new_lat new_lon"]:
        """u on the sphere with another number of nodes: the least-squares fit by harmonics up to
        `largest_degree`, truncated to the new grid. Exact for sums of the harmonics kept."""
        self.domain.check(u)
        target = self.domain.with_shape(shape)
        degree = min(self.largest_degree, SphereCalculus(target).largest_degree)
        waves = torch.fft.rfft(u, norm="forward")
        u_hat = matmul_by_order(waves, self._matrix("fit", u))[..., : degree + 1, : degree + 1]
        m = torch.arange(u_hat.shape[-1], device=u.device)
        seen = 2 * m < min(self.domain.shape[1], target.shape[1])
        missing = degree + 1 - u_hat.shape[-1]
        return evaluate(torch.nn.functional.pad(u_hat * seen, (0, missing)), target)

    def fit_matrix(self) -> Float[Tensor, "m lat l"]:
        """The matrix (float64) from the waves in longitude of a field to the coefficients of its
        least-squares fit by harmonics up to `largest_degree`: exact for sums of these."""
        return self._factors["fit"]

    @property
    def _orders(self) -> int:
        """Number of orders m."""
        return self.domain.shape[1] // 2 + 1

    def _matrix(self, name: str, like: Tensor) -> Float[Tensor, "m from to"]:
        """The matrix "analysis", "synthesis" or "fit", in the dtype and on the device of `like`."""
        place = (name, like.real.dtype, like.device)
        if place not in self._matrices:
            matrix = self._factors[name]
            self._matrices[place] = matrix.to(like.device, like.real.dtype).contiguous()
        return self._matrices[place]

    @cached_property
    def _factors(self) -> dict[str, Tensor]:
        """QR of the harmonics of each order on the nodes, weighted by the root of the quadrature.

        The columns of Q are completed to a basis of all fields of that order. R has a positive
        diagonal and is the identity up to `harmonic_degree`.
        """
        n, degree, M = self.domain.shape[0], self.largest_degree, self._orders
        root = (2 * math.pi * torch.from_numpy(self.domain.weights)).sqrt()
        Q_all, fit = (torch.zeros(M, n, size, dtype=torch.float64) for size in (n, degree + 1))
        P = legendre(self.domain, degree)
        for m in range(M):
            if m > degree:
                Q_all[m] = torch.eye(n, dtype=torch.float64)
                continue
            Q, R = torch.linalg.qr(root[:, None] * P[m, m:].T, mode="complete")
            k = degree + 1 - m
            signs = R[:k].diagonal().sign()
            Q[:, :k] *= signs
            fit[m, :, m:] = torch.linalg.solve_triangular(
                signs[:, None] * R[:k], Q[:, :k].T, upper=True
            ).T
            Q_all[m] = Q.roll(m, 1)  # row l holds degree l; the completion fills the rest
        return {
            "analysis": root[:, None] * Q_all,
            "synthesis": (Q_all / root[:, None]).mT,
            "fit": root[:, None] * fit,
        }
