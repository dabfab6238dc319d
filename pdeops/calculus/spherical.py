"""Spherical harmonic transforms of scalar fields and winds, and evaluation of harmonics.

    u(θ, λ) = Σ_{l<=L} Σ_{|m|<=l} û_lm Y_lm(θ, λ),   ∫ |Y_lm|² = 1 on the unit sphere,

with the Condon-Shortley phase, as in scipy. Fields are real, so only 0 <= m <= l is stored, in an
(L+1, L+1) array that is zero elsewhere: ∫u² dA = R² Σ_l (|û_l0|² + 2 Σ_{m>0} |û_lm|²).

The Legendre functions come from torch-harmonics, which is imported with the first transform. Its
modules are the reference for the sums here, which use one batched product for real and imaginary
parts and both components of a wind. They are four times as fast on a CPU, and exact in float64,
whereas RealVectorSHT of torch-harmonics 0.6.5 rounds 1/l(l+1) to float32.
"""
# Axes: *batch leading axes, lat lon nodes, l degree, m order; 2 the wind's eastward and northward
# part, or vorticity and divergence.

from functools import lru_cache

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ..domain import Latitudes, Sphere

# torch-harmonics' names of the latitudes.
_NAMES = {Latitudes.GAUSS: "legendre-gauss", Latitudes.EQUIANGULAR: "equiangular"}


def unaliased_degree(grid: Sphere, *, factors: int = 2) -> int:
    """Largest degree L without aliasing (2/3 rule): products of `factors` fields of degree L alias
    to degrees above L only. (factors + 1) L < 2 n_lat on Gauss latitudes, < n_lat on equiangular
    latitudes, and < n_lon."""
    exact = 2 * grid.shape[0] if grid.latitudes is Latitudes.GAUSS else grid.shape[0]
    return (min(exact, grid.shape[1]) - 1) // (factors + 1)


class SphericalTransform:
    """Fields on a grid of the sphere ↔ coefficients up to degree L; exact for such fields.

    Args:
        degree: L, by default `unaliased_degree(grid)`.

    Raises:
        ValueError: the nodes do not determine the coefficients, L > `unaliased_degree(grid,
            factors=1)`.
    """

    def __init__(self, grid: Sphere, degree: int | None = None) -> None:
        largest = unaliased_degree(grid, factors=1)
        self.grid = grid
        self.degree = unaliased_degree(grid) if degree is None else degree
        if not 0 <= self.degree <= largest:
            raise ValueError(
                f"{grid.shape} nodes on {grid.latitudes.value} latitudes determine spherical "
                f"harmonics up to degree {largest}; got degree {degree}. Use a finer grid."
            )
        l = torch.arange(self.degree + 1, dtype=torch.float64)[:, None]
        self.laplacian: Float[Tensor, "l 1"] = -l * (l + 1) / grid.radius**2
        self.inverse_laplacian = torch.where(l > 0, 1 / self.laplacian, 0.0)
        self._tables = _Tables(grid, self.degree)

    def forward(self, u: Float[Tensor, "*batch lat lon"]) -> Complex[Tensor, "*batch l m"]:
        """Coefficients û of the least-squares fit to u in the quadrature of the grid."""
        return matmul_by_order(self._waves(u), self._tables.of("analysis", u))

    def inverse(self, u_hat: Complex[Tensor, "*batch l m"]) -> Float[Tensor, "*batch lat lon"]:
        """u at the nodes."""
        self._check(u_hat)
        waves = matmul_by_order(u_hat, self._tables.of("synthesis", u_hat))
        return _at_longitudes(waves, self.grid)

    def vorticity_divergence(
        self, wind: Float[Tensor, "*batch 2 lat lon"]
    ) -> Complex[Tensor, "*batch 2 l m"]:
        """k·∇×v and ∇·v of v = (eastward, northward); exact for products of two fields."""
        return _rotate(matmul_by_order(self._waves(wind), self._tables.of("derivation", wind)))

    def wind(
        self, zeta_delta: Complex[Tensor, "*batch 2 l m"]
    ) -> Float[Tensor, "*batch 2 lat lon"]:
        """The wind v = k×∇Δ⁻¹ζ + ∇Δ⁻¹δ with vorticity ζ and divergence δ. The means of ζ and δ are
        ignored, because they vanish for every v."""
        self._check(zeta_delta)
        waves = _rotate(matmul_by_order(zeta_delta, self._tables.of("integration", zeta_delta)))
        return _at_longitudes(waves, self.grid)

    def _waves(self, u: Tensor) -> Complex[Tensor, "*batch lat m"]:
        self.grid.check(u)
        return torch.fft.rfft(u, norm="forward")[..., : self.degree + 1]

    def _check(self, u_hat: Tensor) -> None:
        n = self.degree + 1
        if tuple(u_hat.shape[-2:]) != (n, n):
            raise ValueError(
                f"The coefficients of degree {self.degree} have shape (..., {n}, {n}); got "
                f"{tuple(u_hat.shape)}. Make them with forward() of the same transform."
            )


def evaluate(u_hat: Complex[Tensor, "*batch l m"], grid: Sphere) -> Float[Tensor, "*batch lat lon"]:
    """The field with these coefficients at the nodes of a grid of the sphere of any resolution."""
    degree = u_hat.shape[-1] - 1
    finer = -(
        -(2 * degree + 1) // grid.shape[1]
    )  # refinement of the longitudes that resolves m <= L
    nodes = grid.with_shape((grid.shape[0], finer * grid.shape[1]))
    waves = matmul_by_order(u_hat, _tables(nodes, degree).of("synthesis", u_hat))
    return _at_longitudes(waves, nodes)[..., ::finer].contiguous()


class _Tables:
    """Matrices (m, from, to) of the sums over degrees or latitudes, per dtype and device.

    With P_lm(cos θ) e^{imλ} = Y_lm, P' = dP/dθ and Q = mP/sin θ: "derivation" is [P', Q], and
    "integration" is [P', -Q] / l(l+1); `_rotate` combines the two components of either.
    """

    def __init__(self, grid: Sphere, degree: int) -> None:
        self.grid, self.degree = grid, degree
        self._made: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def of(self, name: str, like: Tensor) -> Float[Tensor, "m from to"]:
        """The matrices "analysis", "synthesis", "derivation" or "integration"."""
        place = (name, like.real.dtype, like.device)
        if place not in self._made:
            self._made[place] = self._make(name).to(like.device, like.real.dtype).contiguous()
        return self._made[place]

    def _make(self, name: str) -> Float[Tensor, "m from to"]:
        import torch_harmonics

        n, R = self.degree + 1, self.grid.radius
        to_nodes = {"lmax": n, "mmax": n, "grid": _NAMES[self.grid.latitudes]}
        weights = 2 * torch.pi * torch.from_numpy(self.grid.weights)
        if name in ("analysis", "synthesis"):
            P = legendre(self.grid, self.degree)
            return P if name == "synthesis" else (P * weights).mT
        gradient = torch_harmonics.InverseRealVectorSHT(*self.grid.shape, **to_nodes).dpct
        if name == "derivation":
            return torch.cat(list((gradient * weights / R).mT), -1)
        l = torch.arange(n, dtype=torch.float64)[:, None]
        along, across = gradient * R / (l * (l + 1)).clamp(min=1)
        return torch.cat([along, -across], -1)


@lru_cache(maxsize=8)
def _tables(grid: Sphere, degree: int) -> _Tables:
    return _Tables(grid, degree)


def legendre(sphere: Sphere, degree: int) -> Float[Tensor, "m l lat"]:
    """P_lm(cos θ) (float64) with P_lm e^{imλ} = Y_lm at the circles of latitude, for l, m up to
    `degree`; 0 where m > l."""
    import torch_harmonics

    n = degree + 1
    return torch_harmonics.InverseRealSHT(
        *sphere.shape, lmax=n, mmax=n, grid=_NAMES[sphere.latitudes]
    ).pct


def matmul_by_order(
    x: Complex[Tensor, "*batch from m"], table: Float[Tensor, "m from to"]
) -> Complex[Tensor, "*batch to m"]:
    """Σ_from x table for each m, with real and imaginary parts as rows of one matrix product."""
    rows = torch.view_as_real(x).flatten(0, -4) if x.ndim > 2 else torch.view_as_real(x)[None]
    b, _, m, _ = rows.shape
    product = torch.bmm(rows.permute(2, 0, 3, 1).reshape(m, 2 * b, -1), table)
    parts = product.view(m, b, 2, -1).permute(1, 3, 0, 2).contiguous()
    return torch.view_as_complex(parts).view(*x.shape[:-2], -1, m)


def _rotate(x: Complex[Tensor, "*batch 2 both m"]) -> Complex[Tensor, "*batch 2 half m"]:
    """(-P'a + iQb, P'b + iQa) from [P', Q] applied to (a, b), with P' in the upper half."""
    (a, b), (c, d) = (half.unbind(-3) for half in x.chunk(2, -2))
    return torch.stack([1j * d - a, b + 1j * c], -3)


def _at_longitudes(
    waves: Complex[Tensor, "*batch lat m"], grid: Sphere
) -> Float[Tensor, "*batch lat lon"]:
    return torch.fft.irfft(waves, n=grid.shape[1], norm="forward")
