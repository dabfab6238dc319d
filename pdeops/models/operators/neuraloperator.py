"""neuraloperator's FNO, TFNO, UNO and spherical FNO, with the interface of every other model.

The networks are those of the package neuraloperator (https://github.com/neuraloperator), unchanged,
for comparison. The package is imported when the first network is built, which takes about a second.
The import prints nothing here, changes no warning filters, and does not load wandb.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Boundary, Grid, Latitudes, Sphere
from ...nn.domains import check_domain
from ..neuralop_package import network_class, silent

# Our arguments that the package names differently, takes in another form, or lacks.
_RENAMED = ("domain_padding", "dropout", "positional_embedding", "allow_odd")


class _Neuraloperator(nn.Module):
    """Input field -> output field by a network of neuraloperator.

    Differences from the package: spectral weights are stored as real pairs (its own "Complex"
    tensors; the initial distribution is the same); `state_dict` holds tensors only; autocast is off
    inside, since the layers have no bfloat16 Fourier transform; sizes on which the package is wrong
    are refused.

    Args:
        network: name of the class in neuraloperator.
        arguments: our hyperparameters, plain values; most have neuraloperator's names.
        options: further arguments of the class.
    """

    domains: ClassVar[tuple[type, ...]] = (Grid,)

    def __init__(
        self,
        network: str,
        in_channels: int,
        out_channels: int,
        grid: Any,
        *,
        arguments: Mapping[str, Any],
        **options: Any,
    ) -> None:
        super().__init__()
        check_domain(type(self), grid)
        self.grid = grid
        self.arguments: dict[str, Any] = dict(arguments)
        self.allow_odd = arguments.get("allow_odd", True)
        self.check_sizes(grid.shape)
        options |= {key: value for key, value in arguments.items() if key not in _RENAMED}
        options["domain_padding"] = _padding(grid, arguments.get("domain_padding", 0.0))
        options["channel_mlp_dropout"] = arguments["dropout"]
        options["positional_embedding"] = "grid" if arguments["positional_embedding"] else None
        with silent():
            cls = network_class(network)
            self.network = cls(in_channels=in_channels, out_channels=out_channels, **options)
        self.register_state_dict_post_hook(_drop_metadata)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        if x.shape[2:] != self.grid.shape:
            self.check_sizes(x.shape[2:])
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.network(x.float())
        return self.network(x)

    def _apply(self, *args: Any, **kwargs: Any) -> "_Neuraloperator":
        # The package caches the coordinates of the last call outside its buffers. They are stale
        # on another device or in another precision.
        embedding: Any = self.network.positional_embedding
        if embedding is not None:
            embedding._grid = None
        return super()._apply(*args, **kwargs)

    def check_sizes(self, shape: Sequence[int]) -> None:
        """Raise a ValueError for sizes on which the package gives wrong results."""
        if self.allow_odd:
            return
        for inner in self.convolution_shapes(shape):
            if any(n % 2 for n in inner[:-1]):
                where = "" if tuple(inner) == tuple(shape) else f" (inside, {tuple(inner)})"
                raise ValueError(
                    f"{type(self).__name__} needs an even number of nodes along every axis but the "
                    f"last; got {tuple(shape)}{where}. On odd ones the spectral convolution of "
                    f"neuraloperator 2.0 shifts the spectrum by one wave: with weights one it "
                    f"returns a band-limited field with relative error 1.1. Use an even grid, or "
                    f"our FNO, or set allow_odd = true to run it as it is."
                )

    def convolution_shapes(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """The sizes of the fields in the spectral convolutions; padding keeps them even."""
        return [tuple(shape)]


class NeuralopFNO(_Neuraloperator):
    """neuraloperator's FNO: lifting, n_layers of spectral convolution and channel MLP, projection.

    Coordinates in [0, 1) are appended to the input, as on a periodic grid. The field is continued
    periodically; on other axes it then jumps at the ends, unless domain_padding adds zeros there.

    Args:
        grid: training grid, with an even number of nodes along every axis but the last.
        n_modes: modes per axis, even; (16, 16) keeps 16 x 9.
        domain_padding: zeros on each side of an axis that is not periodic, relative to its number
            of nodes; 0 is neuraloperator's default, 0.0625 adds an eighth in total.
        dropout: probability of dropping a value in the channel MLPs, in training mode.
        positional_embedding: append the coordinates to the input.
        allow_odd: accept odd sizes, although the result is wrong (see the error message).

    Raises:
        ValueError: an odd size, or n_modes of another dimension than the grid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        n_modes: Sequence[int] = (16, 16),
        hidden_channels: int = 32,
        n_layers: int = 4,
        domain_padding: float = 0.0,
        dropout: float = 0.0,
        positional_embedding: bool = True,
        allow_odd: bool = False,
    ) -> None:
        _check_dimension("n_modes", n_modes, grid)
        arguments: dict[str, Any] = {
            "n_modes": list(n_modes),
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "domain_padding": domain_padding,
            "dropout": dropout,
            "positional_embedding": positional_embedding,
            "allow_odd": allow_odd,
        }
        channels = (in_channels, out_channels)
        super().__init__("FNO", *channels, grid, arguments=arguments, factorization="ComplexDense")


class NeuralopTFNO(_Neuraloperator):
    """neuraloperator's TFNO: its FNO with spectral weights in Tucker form.

    Args:
        rank: approximate number of parameters of the Tucker form, relative to dense weights.
        grid, n_modes, domain_padding, dropout, positional_embedding, allow_odd: see NeuralopFNO.

    Raises:
        ValueError: an odd size, or n_modes of another dimension than the grid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        n_modes: Sequence[int] = (16, 16),
        hidden_channels: int = 32,
        n_layers: int = 4,
        rank: float = 0.1,
        domain_padding: float = 0.0,
        dropout: float = 0.0,
        positional_embedding: bool = True,
        allow_odd: bool = False,
    ) -> None:
        _check_dimension("n_modes", n_modes, grid)
        arguments: dict[str, Any] = {
            "n_modes": list(n_modes),
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "rank": rank,
            "domain_padding": domain_padding,
            "dropout": dropout,
            "positional_embedding": positional_embedding,
            "allow_odd": allow_odd,
        }
        channels = (in_channels, out_channels)
        super().__init__(
            "TFNO", *channels, grid, arguments=arguments, factorization="ComplexTucker"
        )


class NeuralopUNO(_Neuraloperator):
    """neuraloperator's UNO: a U-shaped network of Fourier layers on coarser grids, with skips.

    Layer i maps to uno_out_channels[i] channels with uno_n_modes[i] modes on a grid finer by the
    factors uno_scalings[i]; layer L-1-i also receives the output of layer i. The product of the
    factors must be one along each axis. In neuraloperator 2.0, a layer that changes the resolution
    keeps only positive wave numbers along all axes but the last (a band-limited field is returned
    with relative error 0.40 at factor 0.5, 0.57 at factor 2). The skips are correct, and the
    network trains.

    Args:
        lifting_channels, projection_channels: hidden widths of the first and last pointwise maps.
        grid, domain_padding, dropout, positional_embedding, allow_odd: see NeuralopFNO; sizes must
            be even on every level.

    Raises:
        ValueError: an odd size on some level, lists of different lengths, or scalings that do not
            return to the grid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        hidden_channels: int = 32,
        uno_out_channels: Sequence[int] = (32, 64, 64, 64, 32),
        uno_n_modes: Sequence[Sequence[int]] = ((16, 16),) * 5,
        uno_scalings: Sequence[Sequence[float | int]] = (
            (1.0, 1.0),
            (0.5, 0.5),
            (1.0, 1.0),
            (1.0, 1.0),
            (2.0, 2.0),
        ),
        lifting_channels: int = 256,
        projection_channels: int = 256,
        domain_padding: float = 0.0,
        dropout: float = 0.0,
        positional_embedding: bool = True,
        allow_odd: bool = False,
    ) -> None:
        check_domain(type(self), grid)
        _check_layers(grid, uno_out_channels, uno_n_modes, uno_scalings)
        arguments: dict[str, Any] = {
            "hidden_channels": hidden_channels,
            "uno_out_channels": list(uno_out_channels),
            "uno_n_modes": [list(m) for m in uno_n_modes],
            "uno_scalings": [[float(s) for s in factors] for factors in uno_scalings],
            "lifting_channels": lifting_channels,
            "projection_channels": projection_channels,
            "domain_padding": domain_padding,
            "dropout": dropout,
            "positional_embedding": positional_embedding,
            "allow_odd": allow_odd,
        }
        self.scalings = arguments["uno_scalings"]
        self.padding = _padding(grid, domain_padding)
        super().__init__(
            "UNO",
            in_channels,
            out_channels,
            grid,
            arguments=arguments,
            n_layers=len(uno_out_channels),
            factorization="ComplexDense",
            channel_mlp_skip="linear",  # its default cannot change the number of channels
        )

    def convolution_shapes(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        sizes = [n + 2 * round(p * n) for n, p in zip(shape, self.padding, strict=True)]
        shapes = [tuple(shape)]
        for factors in self.scalings[:-1]:
            sizes = [round(n * s) for n, s in zip(sizes, factors, strict=True)]
            shapes.append(tuple(sizes))
        return shapes


class NeuralopSFNO(_Neuraloperator):
    """neuraloperator's spherical FNO: convolutions are products of spherical harmonic coefficients.

    The domain is a sphere of any radius with equiangular latitudes, both poles stored,
    Sphere((n_lat, n_lon)). There is one weight per degree l and pair of channels. Odd sizes work.

    Args:
        n_modes: degrees l < n_modes[0] and orders |m| < n_modes[1] / 2.
        dropout, positional_embedding: see NeuralopFNO.

    Raises:
        ValueError: the domain is not a sphere with equiangular latitudes, or has too few
            nodes for n_modes.
    """

    domains: ClassVar[tuple[type, ...]] = (Sphere,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Sphere,
        *,
        n_modes: Sequence[int] = (16, 32),
        hidden_channels: int = 32,
        n_layers: int = 4,
        dropout: float = 0.0,
        positional_embedding: bool = True,
    ) -> None:
        check_domain(type(self), grid)
        _check_latitudes(grid)
        _check_dimension("n_modes", n_modes, grid)
        self.n_modes = tuple(n_modes)
        arguments: dict[str, Any] = {
            "n_modes": list(n_modes),
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "dropout": dropout,
            "positional_embedding": positional_embedding,
        }
        super().__init__("SFNO", in_channels, out_channels, grid, arguments=arguments)

    def check_sizes(self, shape: Sequence[int]) -> None:
        """Raise a ValueError if the nodes do not determine the coefficients."""
        (nlat, nlon), (degrees, waves) = shape, self.n_modes
        if degrees > nlat or waves > nlon:
            raise ValueError(
                f"n_modes {self.n_modes} exceed the {nlat} latitudes and {nlon} longitudes of the "
                f"grid, which hold as many. Use fewer modes or a finer grid."
            )


def _drop_metadata(module: nn.Module, state: dict[str, Any], prefix: str, local: Any) -> None:
    """Removes the constructor arguments (also functions) that neuralop adds to the state."""
    state.pop("_metadata", None)


def _padding(grid: Grid | Sphere, domain_padding: float) -> list[float]:
    """Relative padding of each side, per axis; periodic axes have none."""
    if not domain_padding:
        return [0.0] * grid.ndim
    assert isinstance(grid, Grid)  # no network on a sphere has the argument
    return [0.0 if b is Boundary.PERIODIC else domain_padding for b in grid.boundary]


def _check_dimension(name: str, values: Sequence[Any], grid: Grid | Sphere) -> None:
    if len(values) != grid.ndim:
        raise ValueError(
            f"{name} needs one number per axis of the grid ({grid.ndim}); got {tuple(values)}."
        )


def _check_layers(
    grid: Grid,
    channels: Sequence[int],
    n_modes: Sequence[Sequence[int]],
    scalings: Sequence[Sequence[float | int]],
) -> None:
    if not len(channels) == len(n_modes) == len(scalings):
        raise ValueError(
            f"uno_out_channels, uno_n_modes and uno_scalings need one entry per layer each; got "
            f"{len(channels)}, {len(n_modes)} and {len(scalings)}."
        )
    for modes, factors in zip(n_modes, scalings, strict=True):
        _check_dimension("Each entry of uno_n_modes", modes, grid)
        _check_dimension("Each entry of uno_scalings", factors, grid)
    for axis in range(grid.ndim):
        product = math.prod(factors[axis] for factors in scalings)
        if not math.isclose(product, 1.0):
            raise ValueError(
                f"uno_scalings must multiply to 1 along each axis, so that the output is on the "
                f"input's grid; got {product:g} along axis {axis}."
            )


def _check_latitudes(sphere: Sphere) -> None:
    if sphere.latitudes is not Latitudes.EQUIANGULAR:
        raise ValueError(
            f"NeuralopSFNO needs equiangular latitudes, Sphere((n_lat, n_lon)); got {sphere}."
        )
