"""Least-squares fit of fields on a sphere by spherical harmonics."""
# Axes: *batch leading axes, lat lon nodes, l degree, m order.

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ..domain import Sphere
from .sphere import SphereCalculus
from .spherical import evaluate, legendre, matmul_by_order


class HarmonicFit:
    """Fields on a grid of the sphere ↔ coefficients up to degree L of the least-squares fit by all
    harmonics that the nodes determine; exact for sums of these.

    `SphericalTransform` is exact up to half the number of equiangular latitudes only, and aliases
    fields of higher degrees. The fit is exact for degrees up to n_lat - 2.

    Args:
        degree: the largest wanted degree.

    Attributes:
        degree: L, the wanted degree or the largest that the nodes determine.
    """

    def __init__(self, grid: Sphere, degree: int) -> None:
        self.grid = grid
        calculus = SphereCalculus(grid)
        self.degree = min(degree, calculus.largest_degree, (grid.shape[1] - 1) // 2)
        n = self.degree + 1
        self._matrices = {
            "fit": calculus.fit_matrix()[:n, :, :n],
            "sum": legendre(grid, self.degree).mT,
        }
        self._casts: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def forward(self, u: Float[Tensor, "*batch lat lon"]) -> Complex[Tensor, "*batch l m"]:
        """Coefficients of the fit to u."""
        self.grid.check(u)
        waves = torch.fft.rfft(u, norm="forward")[..., : self.degree + 1]
        return matmul_by_order(waves, self._matrix("fit", u))

    def inverse(self, u_hat: Complex[Tensor, "*batch l m"]) -> Float[Tensor, "*batch lat lon"]:
        """The field with these coefficients at the nodes."""
        return evaluate(u_hat, self.grid)

    def sums(self, g: Float[Tensor, "*batch lat lon"]) -> Complex[Tensor, "*batch l m"]:
        """Σ g Y*_lm over the nodes, without weights: the transpose of `inverse`, up to the factor 2
        that orders m > 0 have in a real field."""
        self.grid.check(g)
        waves = torch.fft.rfft(g)[..., : self.degree + 1]
        return matmul_by_order(waves, self._matrix("sum", g))

    def _matrix(self, name: str, like: Tensor) -> Float[Tensor, "m lat l"]:
        place = (name, like.dtype, like.device)
        if place not in self._casts:
            self._casts[place] = self._matrices[name].to(like).contiguous()
        return self._casts[place]
