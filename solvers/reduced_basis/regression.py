"""Maps between coefficients, fitted to samples: polynomials and radial basis functions."""
# Axes: n samples, d inputs, r outputs, f features.

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from math import comb

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class PolynomialRegression:
    """z -> y, the polynomial of total degree p in d variables with

        Σ_i |y_i - y(z_i)|² + n λ Σ c²  minimal

    over its coefficients c; λ is relative to the largest singular value, squared, of the features
    divided by n. With λ = 0 a polynomial of that degree is recovered from enough samples. The
    variables are divided by their standard deviations first.

    Attributes:
        scale: the standard deviations.
        factors: the variables of each monomial; the number d stands for the factor one.
        coefficients: c, one row for each monomial.
        degree: p.
    """

    scale: Float[Tensor, " d"]
    factors: Int[Tensor, "f p"]
    coefficients: Float[Tensor, "f r"]
    degree: int

    @classmethod
    def fits(
        cls,
        z: Float[Tensor, "n d"],
        y: Float[Tensor, "n r"],
        degree: int,
        ridges: Sequence[float] = (0.0,),
    ) -> "list[PolynomialRegression]":
        """One polynomial for each λ, from one singular value decomposition."""
        d = z.shape[1]
        scale = z.std(0, correction=0)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        combinations = list(combinations_with_replacement(range(d + 1), degree))
        factors = torch.tensor(combinations, dtype=torch.int64).reshape(len(combinations), degree)
        empty = cls(scale, factors, y.new_zeros(len(combinations), y.shape[1]), degree)
        left, s, right = torch.linalg.svd(empty.features(z), full_matrices=False)
        kept = s > s.max() * max(z.shape[0], len(combinations)) * torch.finfo(z.dtype).eps
        left, s, right = left[:, kept], s[kept], right[kept]
        projected = left.mT @ y
        found = []
        for ridge in ridges:
            damped = s / (s.square() + ridge * s[0].square())
            found.append(replace(empty, coefficients=right.mT @ (damped[:, None] * projected)))
        return found

    def features(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        """All monomials up to the degree."""
        padded = torch.cat([z / self.scale, torch.ones_like(z[:, :1])], 1)
        return padded[:, self.factors].prod(2)

    def __call__(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n r"]:
        return self.features(z) @ self.coefficients

    def first_outputs(self, number: int) -> "PolynomialRegression":
        """The map to the first entries of y."""
        return replace(self, coefficients=self.coefficients[:, :number])

    def to(self, dtype: torch.dtype) -> "PolynomialRegression":
        """The same polynomial in another precision."""
        return replace(self, scale=self.scale.to(dtype), coefficients=self.coefficients.to(dtype))


def num_monomials(num_variables: int, degree: int) -> int:
    """The number of monomials of at most this total degree."""
    return comb(num_variables + degree, degree)


@dataclass(frozen=True)
class RadialBasisInterpolation:
    """z -> y = Σ_i a_i |z - z_i|³ + b + B z, with Σ a_i = 0 and Σ a_i z_iᵀ = 0 (polyharmonic
    spline of order three, Wendland 2004, ch. 8).

    It passes through the samples if the smoothing λ is zero, reproduces affine maps, and has no
    length scale to choose. With λ > 0 the matrix |z_i - z_j|³ gets λ times its mean on the
    diagonal: |z|³ is conditionally positive definite, so larger λ gives smoother maps.

    Attributes:
        centers: z_i.
        radial: a.
        affine: b in the first row, B below.
    """

    centers: Float[Tensor, "n d"]
    radial: Float[Tensor, "n r"]
    affine: Float[Tensor, "d1 r"]

    @classmethod
    def fit(
        cls, z: Float[Tensor, "n d"], y: Float[Tensor, "n r"], smoothing: float = 0.0
    ) -> "RadialBasisInterpolation":
        """The interpolant of the samples.

        Raises:
            ValueError: there are fewer samples than an affine map has unknowns, or they lie in a
                plane.
        """
        n, d = z.shape
        if torch.linalg.matrix_rank(_affine(z)) < d + 1:
            raise ValueError(
                f"Interpolation in {d} variables needs {d + 1} samples or more that do not lie in "
                f"a plane; got {n}. Use fewer variables."
            )
        cubes = _cubes(z, z)
        cubes = cubes + smoothing * cubes.mean() * torch.eye(n, dtype=z.dtype)
        P = _affine(z)
        system = torch.cat(
            [torch.cat([cubes, P], 1), torch.cat([P.mT, z.new_zeros(d + 1, d + 1)], 1)]
        )
        right = torch.cat([y, y.new_zeros(d + 1, y.shape[1])])
        solution = torch.linalg.solve(system, right)
        return cls(z, solution[:n], solution[n:])

    def __call__(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b r"]:
        return _cubes(z, self.centers) @ self.radial + _affine(z) @ self.affine

    def first_outputs(self, number: int) -> "RadialBasisInterpolation":
        """The map to the first entries of y."""
        return replace(self, radial=self.radial[:, :number], affine=self.affine[:, :number])

    def to(self, dtype: torch.dtype) -> "RadialBasisInterpolation":
        """The same map in another precision."""
        return RadialBasisInterpolation(
            *(v.to(dtype) for v in (self.centers, self.radial, self.affine))
        )


def _affine(z: Float[Tensor, "n d"]) -> Float[Tensor, "n d1"]:
    return torch.cat([torch.ones_like(z[:, :1]), z], 1)


def _cubes(z: Float[Tensor, "b d"], centers: Float[Tensor, "n d"]) -> Float[Tensor, "b n"]:
    """|z - z_i|³; not by matrix products, which lose the digits of small distances."""
    return torch.cdist(z, centers, compute_mode="donot_use_mm_for_euclid_dist").pow(3)
