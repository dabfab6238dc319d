"""Spherical harmonics as the spatial modes of an expansion in space and time."""
# Axes: b batch, lat lon nodes, l degree, m order, two real and imaginary part, k pairs (l, m) with
# m <= l, c channels, p positions.

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus import SphereCalculus, calculus_of
from ..calculus.spherical import legendre
from ..domain import Sphere
from .constants import constant


class SphericalModes:
    """Harmonics Y_lm of a sphere with degrees l < n_modes[0] and orders |m| < n_modes[1] / 2, as in
    `NeuralopSFNO`: (16, 32) keeps all orders of 16 degrees.

        u = Σ_lm û_lm √(4π) Y_lm,    mean of u² = Σ_l (|û_l0|² + 2 Σ_{m>0} |û_lm|²)

    The coefficients are those of the least-squares fit to the nodes by all harmonics that they
    determine (`SphereCalculus.fit_matrix`), so a field has the same coefficients on every grid that
    resolves it. Harmonics that a grid does not resolve have the coefficient 0 there. The transform
    is a Fourier matrix along longitudes, and a Legendre matrix per order along latitudes; all are
    real, the pairs too.

    By the spherical convolution theorem, a map with one real weight per degree commutes with all
    rotations, and one with a complex weight per (l, m) with those about the polar axis. The latter
    is the symmetry of a rotating planet. A weight per degree cannot move a Rossby wave, whose
    amplitude is multiplied by exp(2iΩmt/l(l+1)); a weight per (l, m) does so exactly. The position
    sin φ of latitude φ, to which the Coriolis force is proportional, is the only linear function
    that rotations about the axis keep.

    Raises:
        ValueError: n_modes is not an even number of orders with a number of degrees, has orders
            above the largest degree, or exceeds what the nodes of the sphere determine.
    """

    num_positions = 1

    def __init__(self, sphere: Sphere, n_modes: Sequence[int], name: str) -> None:
        valid = len(n_modes) == 2 and n_modes[0] >= 1 and n_modes[1] >= 2 and n_modes[1] % 2 == 0
        if not valid or n_modes[1] > 2 * n_modes[0]:
            raise ValueError(
                f"{name}'s n_modes on a sphere are (L, M): degrees l < L and orders |m| < M/2, "
                f"with M even and at most 2L, since |m| <= l; got {tuple(n_modes)}. (16, 32) keeps "
                f"all orders of 16 degrees."
            )
        degrees, waves = _resolved(sphere)
        if n_modes[0] > degrees or n_modes[1] // 2 > waves:
            raise ValueError(
                f"n_modes {tuple(n_modes)} exceed the {degrees} degrees and {2 * waves} orders "
                f"that the nodes of the sphere determine: {sphere}. Use fewer modes or a finer "
                f"grid."
            )
        self.sphere, self.n_modes = sphere, (int(n_modes[0]), int(n_modes[1]))
        self.shape = (self.n_modes[0], self.n_modes[1] // 2)
        # Places of the pairs with l >= m among all pairs, in the order of m, then l.
        self.kept = tuple(
            m * self.shape[0] + l for m in range(self.shape[1]) for l in range(m, self.shape[0])
        )
        self._latitudes = sphere.latitudes.value  # tables depend on plain values: for compilers
        self._places = torch.tensor(self.kept)
        self.num_modes = len(self.kept)
        self.constant = (0, 1.0)

    def analysis(self, u: Float[Tensor, "b lat lon c"]) -> Float[Tensor, "b two k c"]:
        b, n_lat, _, c = u.shape
        n_lon, (L, M) = u.shape[2], self.shape
        F = constant(_to_waves, (n_lon, M), u)
        P = constant(_to_degrees, (n_lat, n_lon, self._latitudes, L, M), u)
        waves = torch.matmul(F, u)  # (b, lat, 2m, c)
        columns = waves.view(b, n_lat, 2, M, c).permute(3, 1, 0, 2, 4).reshape(M, n_lat, -1)
        u_hat = torch.matmul(P, columns).flatten(0, 1)[self._places.to(u.device)]
        return u_hat.view(-1, b, 2, c).permute(1, 2, 0, 3)

    def synthesis(
        self, u_hat: Float[Tensor, "b two k c"], shape: Sequence[int]
    ) -> Float[Tensor, "b lat lon c"]:
        b, _, _, c = u_hat.shape
        (n_lat, n_lon), (L, M) = shape, self.shape
        P = constant(_to_latitudes, (n_lat, n_lon, self._latitudes, L, M), u_hat)
        F = constant(_to_longitudes, (n_lon, M), u_hat)
        columns = u_hat.permute(2, 0, 1, 3).reshape(self.num_modes, -1)
        places = self._places.to(u_hat.device)
        padded = columns.new_zeros(M * L, columns.shape[1]).index_copy(0, places, columns)
        waves = torch.matmul(P, padded.view(M, L, -1))  # (m, lat, b two c)
        waves = waves.view(M, -1, b, 2, c).permute(2, 1, 3, 0, 4).reshape(b, -1, 2 * M, c)
        return torch.matmul(F, waves)

    def resample(
        self, u: Float[Tensor, "*batch_space"], shape: Sequence[int]
    ) -> Float[Tensor, "*batch_new_space"]:
        if tuple(u.shape[-2:]) == tuple(shape):
            return u
        return _calculus(self.sphere.with_shape(u.shape[-2:])).resample(u, shape)

    def positions(self, shape: Sequence[int], like: Tensor) -> Float[Tensor, "lat lon p"]:
        sine = constant(_sine_of_latitude, (shape[0], self._latitudes), like)
        return sine.expand(*shape)[..., None]


def _calculus(sphere: Sphere) -> SphereCalculus:
    found = calculus_of(sphere)
    assert isinstance(found, SphereCalculus)
    return found


def _resolved(sphere: Sphere) -> tuple[int, int]:
    """Numbers of degrees and of orders m >= 0 that the nodes determine."""
    stored = sphere.shape[0] - sphere.poles_stored
    return max(stored, 1), (sphere.shape[1] + 1) // 2


def _to_waves(n_lon: int, M: int) -> np.ndarray:
    """u ↦ (1/n) Σ u e^{-imλ}, real parts before imaginary parts, (2M, n); 0 if not resolved."""
    phase = 2 * math.pi / n_lon * (np.outer(np.arange(M), np.arange(n_lon)) % n_lon)
    seen = (2 * np.arange(M) < n_lon)[:, None] / n_lon
    return np.concatenate([seen * np.cos(phase), -seen * np.sin(phase)])


def _to_longitudes(n_lon: int, M: int) -> np.ndarray:
    """Real and imaginary parts ↦ Σ_m c_m Re(û_m e^{imλ}), c_0 = 1, else 2, (n, 2M)."""
    phase = 2 * math.pi / n_lon * (np.outer(np.arange(n_lon), np.arange(M)) % n_lon)
    double = np.where(np.arange(M) > 0, 2.0, 1.0) * (2 * np.arange(M) < n_lon)
    return np.concatenate([double * np.cos(phase), -double * np.sin(phase)], 1)


def _sine_of_latitude(n_lat: int, latitudes: str) -> np.ndarray:
    """sin φ, (lat, 1)."""
    return Sphere((n_lat, 1), latitudes).latitude().sin().numpy()


def _to_degrees(n_lat: int, n_lon: int, latitudes: str, L: int, M: int) -> np.ndarray:
    """Waves at the latitudes ↦ û_lm, (m, l, lat); 0 where the nodes do not determine it."""
    sphere = Sphere((n_lat, n_lon), latitudes)
    fit = _calculus(sphere).fit_matrix().mT.numpy() / math.sqrt(4 * math.pi)
    found = np.zeros((M, L, sphere.shape[0]))
    m, l = min(M, fit.shape[0]), min(L, fit.shape[1])
    found[:m, :l] = fit[:m, :l]
    return found


def _to_latitudes(n_lat: int, n_lon: int, latitudes: str, L: int, M: int) -> np.ndarray:
    """û_lm ↦ waves at the latitudes, (m, lat, l); degrees that they do not determine are 0."""
    sphere = Sphere((n_lat, n_lon), latitudes)
    P = legendre(sphere, L - 1).mT.numpy()[:M, :, :L] * math.sqrt(4 * math.pi)
    P[:, :, _resolved(sphere)[0] :] = 0
    return P
