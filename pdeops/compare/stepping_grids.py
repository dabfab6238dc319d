"""Grids of time stepping in a study, and fields at their nodes, for each type of domain."""
# Axes: *batch leading axes, *fine *coarse *test nodes.

from collections.abc import Sequence
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from ..calculus.fourier import resample
from ..calculus.spherical import SphericalTransform, evaluate, unaliased_degree
from ..datasets.problems.shallow_water import gauss_grid
from ..domain import Grid, Sphere
from .time_stepping import at_nodes

MIN_NODES = 8  # per axis
FINER = 4  # of the reference in space on a box, and at least in dt, relative to every method
FINER_DEGREE = 2  # degree of the reference on a sphere, relative to the data's


class SteppingGrids(Protocol):
    """What a study needs of a type of domain.

    Attributes:
        series: name of the series in which fields are truncated and evaluated.
    """

    series: str

    def reference(self, problem: Any, test: Any) -> Any:
        """The grid of the reference for errors at the nodes of `test`."""
        ...

    def coarse(self, problem: Any, test: Any, scales: Sequence[float]) -> list[Any]:
        """The grids of the methods, coarse ones first; scale 1 is the resolution of the data."""
        ...

    def at_nodes(
        self, u: Float[Tensor, "*batch_fine"], fine: Any, test: Any
    ) -> Float[Tensor, "*batch_test"]:
        """u at the nodes of `test`."""
        ...

    def truncated(
        self, u: Float[Tensor, "*batch_fine"], fine: Any, coarse: Any
    ) -> Float[Tensor, "*batch_coarse"]:
        """The part of u that `coarse` resolves, at its nodes."""
        ...


class BoxGrids:
    """A periodic box: grids with fewer or more nodes per axis, and Fourier series."""

    series = "Fourier series"

    def reference(self, problem: Any, test: Grid) -> Grid:
        return test.refined(FINER)

    def coarse(self, problem: Any, test: Grid, scales: Sequence[float]) -> list[Grid]:
        shapes = [
            tuple(2 * round(n * s / 2) for n in test.shape) if s < 1 else test.shape
            for s in sorted(set(scales))
        ]
        return [test.with_shape(s) for s in dict.fromkeys(shapes) if min(s) >= MIN_NODES]

    def at_nodes(self, u: Tensor, fine: Grid, test: Grid) -> Tensor:
        return at_nodes(u, fine, test)

    def truncated(self, u: Tensor, fine: Grid, coarse: Grid) -> Tensor:
        return resample(u, fine, coarse.shape)


class SphereGrids:
    """A sphere: the Gauss grids of lower and higher degrees, and sums of spherical harmonics."""

    series = "sum of spherical harmonics"

    def reference(self, problem: Any, test: Sphere) -> Sphere:
        return gauss_grid(FINER_DEGREE * problem.inputs.degree)

    def coarse(self, problem: Any, test: Sphere, scales: Sequence[float]) -> list[Sphere]:
        degrees = sorted({max(2, round(s * problem.inputs.degree)) for s in scales})
        return [gauss_grid(degree) for degree in degrees]

    def at_nodes(self, u: Tensor, fine: Sphere, test: Sphere) -> Tensor:
        return evaluate(_harmonics(u, fine, fine), test)

    def truncated(self, u: Tensor, fine: Sphere, coarse: Sphere) -> Tensor:
        return evaluate(_harmonics(u, fine, coarse), coarse)


def _harmonics(u: Tensor, fine: Sphere, resolved: Sphere) -> Tensor:
    """Coefficients of u up to the degree of which `resolved` is the Gauss grid."""
    return SphericalTransform(fine, degree=unaliased_degree(resolved)).forward(u)


GRIDS: dict[type, SteppingGrids] = {Grid: BoxGrids(), Sphere: SphereGrids()}
