"""Calculus on a box in Fourier, sine and cosine series, with the functions of `fourier`."""

from collections.abc import Sequence
from functools import cached_property

from jaxtyping import Float, Inexact
from torch import Tensor

from ..domain import Grid, Series
from .calculus import Calculus
from .fourier import (
    Choice,
    inverse_transform,
    parseval_weights,
    resample,
    squared_length,
    transform,
    wave_indices,
    wavenumbers,
)


class BoxCalculus(Calculus):
    """Expansion of fields on a grid of a box in one series per axis; λ = |ξ|².

    Attributes:
        series: the series of each axis; by default `Grid.series()`, which represents every field.

    Raises:
        ValueError: the nodes of an axis do not determine the coefficients of the chosen series.
    """

    def __init__(self, grid: Grid, series: Choice = None) -> None:
        self.domain = grid
        self.series = grid.series(series)
        self.has_constant = Series.SINE not in self.series

    def __repr__(self) -> str:
        return f"BoxCalculus({self.domain!r}, series=({', '.join(s.value for s in self.series)}))"

    def transform(self, u: Float[Tensor, "*batch_space"]) -> Inexact[Tensor, "*batch_waves"]:
        return transform(u, self.domain, self.series)

    def inverse_transform(
        self, u_hat: Inexact[Tensor, "*batch_waves"]
    ) -> Float[Tensor, "*batch_space"]:
        return inverse_transform(u_hat, self.domain, self.series)

    @cached_property
    def parseval_weights(self) -> Float[Tensor, "*waves"]:
        return parseval_weights(self.domain, self.series)

    @cached_property
    def symbol(self) -> Float[Tensor, "*waves"]:
        return squared_length(wavenumbers(self.domain, self.series))

    @cached_property
    def wave_number(self) -> Float[Tensor, "*waves"]:
        return squared_length(wave_indices(self.domain, self.series)).sqrt()

    def resample(
        self, u: Float[Tensor, "*batch_space"], shape: Sequence[int]
    ) -> Float[Tensor, "*batch_new_space"]:
        return resample(u, self.domain, shape, self.series)
