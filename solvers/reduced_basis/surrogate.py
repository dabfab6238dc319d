"""Surrogates without a network: POD of inputs and outputs, a fitted map between coefficients."""
# Axes: n samples, p inputs, m outputs, d input modes, r output modes.

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .pod import POD
from .regression import PolynomialRegression, RadialBasisInterpolation, num_monomials

SHARE = 0.99  # of the variance of the inputs; the modes that have it are the effective dimensions
DIMENSIONS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
DEGREES = (1, 2, 3, 4, 5)
RIDGES = (0.0, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
SMOOTHINGS = (0.0, 1e-4, 1e-2, 1.0)
RADIAL = 96  # most input modes of radial basis functions, whose distances lose contrast with them
FEATURES = 2  # largest number of monomials, in samples
PATIENCE = 3  # numbers of input modes without a smaller error, after which larger ones are left out
SLACK = 1.01  # accepted validation error of fewer output modes, relative to that of all


# Numbers of input modes, growing, each with named fits.
Series = Iterator[tuple[int, list[tuple[str, Any]]]]


@dataclass(frozen=True)
class Pairs:
    """Samples of a map, flattened.

    Attributes:
        x, y: inputs and outputs in float64.
        weights: of the inner product of outputs.
        input_weights: of that of inputs; all one by default.
    """

    x: Float[Tensor, "n p"]
    y: Float[Tensor, "n m"]
    weights: Float[Tensor, " m"]
    input_weights: Float[Tensor, " p"] | None = None


@dataclass(frozen=True)
class Surrogate:
    """x -> y = mean + Σ_k c_k φ_k, with c a fitted function of the first d coefficients of x.

    Attributes:
        inputs, outputs: the spaces of both.
        coefficients: (b, d) -> (b, r).
        choice: degree or smoothing, and d and r, in words.
        error: mean relative error on the validation samples.
    """

    inputs: POD
    outputs: POD
    coefficients: Any
    choice: str
    error: float

    def __call__(self, x: Float[Tensor, "b p"]) -> Float[Tensor, "b m"]:
        return self.outputs.fields(self.coefficients(self.inputs.coefficients(x)))

    def to(self, dtype: torch.dtype) -> "Surrogate":
        """The same map in another precision."""
        return replace(
            self,
            inputs=self.inputs.to(dtype),
            outputs=self.outputs.to(dtype),
            coefficients=self.coefficients.to(dtype),
        )


@dataclass(frozen=True)
class _Target:
    """Validation outputs in the space of outputs: coefficients, the part outside of it, norms."""

    coefficients: Float[Tensor, "n r"]
    outside: Float[Tensor, " n"]
    norms: Float[Tensor, " n"]

    @classmethod
    def of(cls, outputs: POD, pairs: Pairs) -> "_Target":
        c = outputs.coefficients(pairs.y)
        distance = ((pairs.y - outputs.fields(c)).square() * pairs.weights).sum(1)
        norms = (pairs.y.square() * pairs.weights).sum(1)
        if not (norms > 0).any():
            raise ValueError(
                "All validation solutions are zero, so that no relative error chooses a surrogate. "
                "Give validation samples with other inputs."
            )
        return cls(c, distance, norms)

    def error(self, predicted: Float[Tensor, "n r"], rank: int) -> float:
        """Mean relative error of predictions by their first coefficients, over the samples whose
        solution is not zero."""
        inside = (predicted[:, :rank] - self.coefficients[:, :rank]).square().sum(1)
        left_out = self.coefficients[:, rank:].square().sum(1)
        squares, known = inside + left_out + self.outside, self.norms > 0
        return (squares[known] / self.norms[known]).sqrt().mean().item()


def polynomial_surrogate(
    training: Pairs, validation: Pairs, *, degrees: Sequence[int] = DEGREES
) -> Surrogate:
    """Polynomial regression between coefficients; degree, number of input modes and ridge have the
    smallest error on the validation samples."""

    def of_degree(degree: int, z: Tensor, c: Tensor) -> Series:
        for d in _dimensions(z.shape[1]):
            if num_monomials(d, degree) > FEATURES * len(z):
                break
            fits = PolynomialRegression.fits(z[:, :d], c, degree, RIDGES)
            names = (f"degree {degree}, ridge {ridge:g}" for ridge in RIDGES)
            yield d, list(zip(names, fits, strict=True))

    return _best(training, validation, lambda z, c: (of_degree(degree, z, c) for degree in degrees))


def radial_surrogate(training: Pairs, validation: Pairs) -> Surrogate:
    """Radial basis functions between coefficients; number of input modes and smoothing have the
    smallest error on the validation samples."""

    def all_fits(z: Tensor, c: Tensor) -> Series:
        for d in _dimensions(min(z.shape[1], len(z) - 2, RADIAL)):
            fits = (RadialBasisInterpolation.fit(z[:, :d], c, s) for s in SMOOTHINGS)
            yield d, [(f"smoothing {s:g}", fit) for s, fit in zip(SMOOTHINGS, fits, strict=True)]

    return _best(training, validation, lambda z, c: iter([all_fits(z, c)]))


def _dimensions(highest: int) -> list[int]:
    """The numbers of input modes to try."""
    return sorted({d for d in DIMENSIONS if d < highest} | {max(highest, 1)})


def _best(
    training: Pairs,
    validation: Pairs,
    series: Callable[[Tensor, Tensor], Iterator[Series]],
) -> Surrogate:
    """The candidate of least error on the validation samples, with as few output modes as have
    hardly more. In each series the number of input modes grows until the error no longer falls."""
    inputs = POD.of(training.x, training.input_weights)
    outputs = POD.of(training.y, training.weights)
    z, c = inputs.coefficients(training.x), outputs.coefficients(training.y)
    z_new, target = inputs.coefficients(validation.x), _Target.of(outputs, validation)
    best: tuple[float, str, int, Any] | None = None
    for candidates in series(z, c):
        least, last = math.inf, 0
        for number, (d, fits) in enumerate(candidates):
            for choice, fit in fits:
                error = target.error(fit(z_new[:, :d]), outputs.rank)
                if error < least:
                    least, last = error, number
                if best is None or error < best[0]:
                    best = (error, choice, d, fit)
            if number >= last + PATIENCE:
                break
    assert best is not None
    error, choice, d, fit = best
    predicted = fit(z_new[:, :d])
    ranks = (r for r in _dimensions(outputs.rank) if target.error(predicted, r) <= SLACK * error)
    rank = next(ranks, outputs.rank)
    text = f"{choice}, {d} of {inputs.rank} input modes, {rank} of {outputs.rank} output modes"
    coefficients = fit.first_outputs(rank)
    return Surrogate(
        inputs.truncated(d), outputs.truncated(rank), coefficients, text,
        target.error(predicted, rank),
    )  # fmt: skip
