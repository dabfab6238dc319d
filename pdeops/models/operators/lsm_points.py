"""LSM on scattered points, by a latent grid (Wu et al., ICML 2023)."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn

from ...domain import Boundary, Grid, Placement, Points
from ...nn.convolution import CHANNELS_LAST
from ...nn.coordinate_map import CoordinateMap
from ...nn.coordinates import num_position_channels, position_channels
from ...nn.domains import check_domain
from ...nn.heads import check_width
from ...nn.lsm import LSMTrunk
from ...nn.nonuniform import hermitian_weights, to_modes, to_points, wavenumbers
from ...nn.point_box import PointBox
from ...nn.pointwise import Pointwise, PointwiseMLP

# Axes: b batch, c channel, d coordinates, n points, p parameters, *modes, *latent nodes.


class PointLSM(nn.Module):
    """Field on scattered points -> field on the same points, by LSM on a periodic latent grid.

        û_k = Σ_n w_n (lift u)_n exp(-2πi k·ξ_n)        w: quadrature weights with Σ w = 1
        v   = gelu(Σ_k W_k û_k exp(2πi k·y) + position map)        on the latent nodes y
        v   <- LSM trunk (v)                                        `nn.lsm`
        y_n = head(Σ_k W'_k v̂_k exp(2πi k·ξ_n) + skip(u_n, ξ_n))

    ξ are the coordinates, scaled so that `box` fills the fraction 1 / (1 + padding) of the period,
    and deformed by a learned map if coordinate_map is true. One complex matrix W_k per mode. Sums
    are integrals: doubling every point, or splitting it, leaves the output unchanged. The weights
    are those of the points if they are known, else equal. Samples may have different points, and
    different numbers of points with a mask.

    Differences from the authors' code (`lsm_published_points.py`): the weights w, the right
    conjugate modes, masks, any number of parameters (also none), the latent grid is periodic as
    the transforms are, and the input has a skip connection.

    Args:
        points: with one to three coordinates. Where they differ from sample to sample, `forward`
            needs them, and box is needed.
        box: lower and upper corner, two sequences of d numbers; by default that of the points, or
            the smallest box of the points of training.
        n_modes: per coordinate, even: wavenumbers -m/2..m/2-1, of the last 0..m/2-1.
        latent_shape: nodes of the latent grid per coordinate, at least n_modes.
        padding: length of the gap between the periods relative to the box.
        coordinate_map: whether the points are deformed by a learned map.
        num_parameters: numbers that describe the geometry of a sample, see `Batch.parameters`; only
            the coordinate map uses them.
        levels, patches, num_tokens, num_basis, num_heads, scale, norm, dropout: see `LSM`.

    Raises:
        ValueError: the domain is not one of points; a hyperparameter is out of range; box is
            missing.
    """

    domains: ClassVar[tuple[type, ...]] = (Points,)
    latent_position: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        points: Points,
        *,
        box: Sequence[Sequence[float | int]] | None = None,
        hidden_channels: int = 32,
        n_modes: Sequence[int] = (24, 24),
        latent_shape: Sequence[int] = (64, 64),
        padding: float = 0.125,
        coordinate_map: bool = False,
        num_parameters: int = 0,
        levels: int = 5,
        patches: int = 4,
        num_tokens: int = 4,
        num_basis: int = 12,
        num_heads: int = 8,
        scale: float | None = None,
        norm: str = "group",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_domain(type(self), points)
        d, c = points.num_coordinates, hidden_channels
        check_width(c, "PointLSM")
        point_box = PointBox(points, box, model="PointLSM")
        _check(d, n_modes, latent_shape, num_parameters, coordinate_map)
        trunk: dict[str, Any] = {
            "levels": levels,
            "patches": patches,
            "num_tokens": num_tokens,
            "num_basis": num_basis,
            "num_heads": num_heads,
            "scale": scale,
            "norm": norm,
            "dropout": dropout,
        }
        self.arguments: dict[str, Any] = {
            "box": point_box.corners,
            "hidden_channels": hidden_channels,
            "n_modes": list(n_modes),
            "latent_shape": list(latent_shape),
            "padding": padding,
            "coordinate_map": coordinate_map,
            "num_parameters": num_parameters,
            **trunk,
        }
        self.grid, self.padding, self.num_parameters = points, padding, num_parameters
        self.box = point_box
        latent = Grid(latent_shape, 1.0, Boundary.PERIODIC, Placement.LEFT)
        self.latent = latent
        self.numbers = wavenumbers(n_modes)
        modes = [len(k) for k in self.numbers]
        self.deform = CoordinateMap(d, num_parameters) if coordinate_map else None
        self.lift = Pointwise(in_channels, c)
        std = math.sqrt(1 / (2 * c))
        self.modes_in = nn.Parameter(nn.init.normal_(torch.empty(*modes, c, c, 2), std=std))
        self.modes_out = nn.Parameter(nn.init.normal_(torch.empty(*modes, c, c, 2), std=std))
        self.latent_map = Pointwise(num_position_channels(latent), c)
        self.trunk = LSMTrunk(c, latent, **trunk)
        self.trunk.to(memory_format=CHANNELS_LAST[d])  # type: ignore[call-overload]
        self.skip = Pointwise(in_channels + d, c)
        self.head = PointwiseMLP(c, 2 * c, out_channels)
        self.register_buffer("latent_position", position_channels(latent), persistent=False)

    def forward(
        self,
        x: Float[Tensor, "b c n"],
        points: Points | None = None,
        parameters: Float[Tensor, "b p"] | None = None,
    ) -> Float[Tensor, "b c_out n"]:
        """Args:
            points: of these samples, `domain.at(batch)`; None for those that all samples share.
            parameters: `batch.parameters`, if num_parameters is not 0.

        Raises:
            ValueError: x does not fit the points; a point lies outside of the box, or has a
                coordinate that is no number; parameters are missing or too many.
        """
        points = points or self.grid
        points.check(x)
        xi = self._coordinates(points, x, parameters)
        x = points.mask_padding(x)
        u = self.lift(x) * points.mean_weights().to(x)
        f = self._multiply(to_modes(u, xi, self.numbers), self.modes_in)
        v = F.gelu(self._on_latent_grid(f) + self.latent_map(self.latent_position[None].to(x)))
        f = self._multiply(self._modes_of(self.trunk(v)), self.modes_out)
        skip = self.skip(torch.cat([x, xi], dim=1))
        f = f * hermitian_weights(f.shape[-1], f)
        y = to_points(f, xi, self.numbers) + skip
        return points.mask_padding(self.head(y))

    def _coordinates(self, points: Points, x: Tensor, parameters: Tensor | None) -> Tensor:
        """ξ in units of the period, of shape (b, d, n)."""
        xi = self.box(points, x).expand(x.shape[0], -1, -1)
        given = 0 if parameters is None else parameters.shape[1]
        if given != self.num_parameters:
            raise ValueError(
                f"This PointLSM takes {self.num_parameters} parameters per sample; got {given}. "
                f"Pass batch.parameters, or build it with num_parameters={given}."
            )
        if self.deform is not None:
            xi = self.deform(xi, xi.new_zeros(x.shape[0], 0) if parameters is None else parameters)
        return xi.to(x.dtype) / (1 + self.padding)

    def _multiply(
        self, f: Complex[Tensor, "b c *modes"], W: Float[Tensor, "*modes c o 2"]
    ) -> Complex[Tensor, "b o *modes"]:
        return torch.einsum("bc...,...co->bo...", f, torch.view_as_complex(W).to(f))

    def _on_latent_grid(self, f: Complex[Tensor, "b c *modes"]) -> Float[Tensor, "b c *latent"]:
        """The real field with these modes, at the latent nodes."""
        half = self.latent.shape[-1] // 2 + 1
        full = f.new_zeros(*f.shape[:2], *self.latent.shape[:-1], half)
        full[self._kept(f)] = f
        axes = tuple(range(2, f.ndim))
        return torch.fft.irfftn(full, s=self.latent.shape, dim=axes, norm="forward")

    def _modes_of(self, v: Float[Tensor, "b c *latent"]) -> Complex[Tensor, "b c *modes"]:
        """The kept modes of a latent field; float32 under autocast."""
        v = v.to(torch.promote_types(v.dtype, torch.float32))
        full = torch.fft.rfftn(v, dim=tuple(range(2, v.ndim)), norm="forward")
        return full[self._kept(v)]

    def _kept(self, like: Tensor) -> tuple[Any, ...]:
        """Index of the kept modes in the result of rfftn."""
        d = len(self.numbers)
        shaped = [
            (k % n if i < d - 1 else k).view(-1, *[1] * (d - 1 - i)).to(like.device)
            for i, (k, n) in enumerate(zip(self.numbers, self.latent.shape, strict=True))
        ]
        return (slice(None), slice(None), *shaped)


def _check(
    d: int,
    n_modes: Sequence[int],
    latent_shape: Sequence[int],
    num_parameters: int,
    coordinate_map: bool,
) -> None:
    fits = len(n_modes) == len(latent_shape) == d and all(
        2 <= m <= n and m % 2 == 0 for m, n in zip(n_modes, latent_shape, strict=True)
    )
    if d > 3 or not fits:
        raise ValueError(
            f"PointLSM needs one to three coordinates and, for each, an even number of modes and "
            f"at least as many latent nodes; got {d} coordinates, n_modes {tuple(n_modes)} and "
            f"latent_shape {tuple(latent_shape)}."
        )
    if num_parameters and not coordinate_map:
        raise ValueError(
            f"Only the coordinate map uses parameters; got num_parameters={num_parameters} with "
            f"coordinate_map=false. Set it to true, or num_parameters to 0."
        )
