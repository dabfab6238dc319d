"""LSM as in its authors' code, on scattered points of the plane."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Points
from ...nn.domains import check_domain
from ...nn.heads import check_width
from ...nn.lsm_published import FACTOR, KEYS, PublishedTrunk, load_published, unit_positions
from ...nn.nonuniform import to_modes, to_points, wavenumbers
from ...nn.pointwise import Pointwise, PointwiseMLP

# Axes: b batch, c channel, n points, p parameters, x y wavenumbers.

# Names in the authors' checkpoints -> parameters here, see `nn.lsm_published`.
POINT_KEYS: dict[str, str] = {
    **KEYS,
    "fftproject_in": "modes_in",  # weights1 and weights2, the rows k₁ >= 0 and k₁ < 0
    "fftproject_out": "modes_out",
    "convproject_in": "latent_position",
    "convproject_out": "point_position",
}
COORDINATE_KEYS: dict[str, str] = {
    "fc0": "position",
    "fc_code": "parameters_in",
    "fc_no_code": "unused",
    "fc1": "hidden.0",
    "fc2": "hidden.1",
    "fc3": "hidden.2",
    "fc4": "out",
}


class PublishedCoordinateMap(nn.Module):
    """x -> ξ = x + x · N(x, parameters), the deformation of scattered points.

    N is a network with tanh of the coordinates, angle and radius about (1e-4, 1e-4), sines and
    cosines of these four with wavenumbers π 2^j, j < 8, and the parameters. `unused` is a layer of
    the authors' code for clouds without parameters.
    """

    def __init__(self, num_parameters: int, width: int = 32) -> None:
        super().__init__()
        self.position = nn.Linear(4, width)
        self.parameters_in = nn.Linear(num_parameters, width)
        self.unused = nn.Linear(3 * width, 4 * width)
        self.hidden = nn.ModuleList(nn.Linear(4 * width, 4 * width) for _ in range(3))
        self.out = nn.Linear(4 * width, 2)
        scales = torch.pi * 2.0 ** torch.arange(width // 4)
        self.register_buffer("scales", scales, persistent=False)

    scales: Tensor

    def forward(
        self, x: Float[Tensor, "b 2 n"], parameters: Float[Tensor, "b p"]
    ) -> Float[Tensor, "b 2 n"]:
        p = x.mT - 1e-4
        polar = [torch.atan2(p[..., 1], p[..., 0]), p.norm(dim=-1)]
        features = torch.cat([x.mT, torch.stack(polar, dim=-1)], dim=-1)
        phases = (features[..., None] * self.scales.to(x)).flatten(2)
        code = self.parameters_in(parameters)[:, None].expand(-1, x.shape[-1], -1)
        v = torch.cat([code, self.position(features), phases.sin(), phases.cos()], dim=-1)
        for layer in self.hidden:
            v = torch.tanh(layer(v))
        return x * (1 + self.out(v).mT)


class PublishedPointLSM(nn.Module):
    """Field on scattered points -> field there, by LSM on a latent grid as in its authors' code.

    Two coordinates, 5,992,609 parameters and 63,746 of the map of the coordinates, at the values of
    the authors' elasticity benchmark (in and out channels 2 and 1, 42 parameters per sample). The
    input is transformed to Fourier modes at the deformed points, multiplied by one matrix per mode
    and put on the latent grid; the way back is the same. As in the authors' code:

    - the sums over points are not divided by their number, so the output depends on it;
    - modes with a negative last wavenumber are the conjugates of the wrong ones, off by one in the
      first wavenumber: a field of these modes comes back with a relative error of 0.66;
    - all points are real: a cloud with a mask is refused.

    Args:
        points: with two coordinates. Where they differ from sample to sample, `forward` needs them.
        num_parameters: numbers that describe the geometry of a sample.

    Raises:
        ValueError: the domain is not one of points in the plane; patches do not divide the latent
            grid on all five levels; 8 heads do not divide the width.
    """

    domains: ClassVar[tuple[type, ...]] = (Points,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        points: Points,
        *,
        hidden_channels: int = 32,
        n_modes: Sequence[int] = (24, 24),
        latent_shape: Sequence[int] = (96, 96),
        patch: Sequence[int] = (6, 6),
        num_parameters: int = 42,
        num_tokens: int = 4,
        num_basis: int = 12,
    ) -> None:
        super().__init__()
        check_domain(type(self), points)
        self.arguments: dict[str, Any] = {
            "hidden_channels": hidden_channels,
            "n_modes": list(n_modes),
            "latent_shape": list(latent_shape),
            "patch": list(patch),
            "num_parameters": num_parameters,
            "num_tokens": num_tokens,
            "num_basis": num_basis,
        }
        if points.num_coordinates != 2 or any(
            n % (FACTOR * p) for n, p in zip(latent_shape, patch, strict=True)
        ):
            raise ValueError(
                f"PublishedPointLSM needs points with 2 coordinates, and a latent grid that is a "
                f"multiple of {FACTOR} patches per axis; got {points.num_coordinates} coordinates "
                f"and {tuple(latent_shape)} nodes with patches of {tuple(patch)}."
            )
        check_width(hidden_channels, "PublishedPointLSM")
        self.grid, self.latent_shape, c = points, tuple(latent_shape), hidden_channels
        self.numbers, self.num_parameters = wavenumbers(n_modes), num_parameters
        modes = [len(k) for k in self.numbers]
        self.coordinates = PublishedCoordinateMap(num_parameters)
        self.lift = Pointwise(in_channels, c)
        self.modes_in = nn.Parameter(nn.init.uniform_(torch.empty(c, c, *modes, 2), 0, c**-2))
        self.modes_out = nn.Parameter(nn.init.uniform_(torch.empty(c, c, *modes, 2), 0, c**-2))
        self.latent_position = Pointwise(2, c)
        self.point_position = Pointwise(2, c)
        self.trunk = PublishedTrunk(c, patch, num_tokens=num_tokens, num_basis=num_basis)
        self.head = PointwiseMLP(c, 128, out_channels)

    def forward(
        self,
        x: Float[Tensor, "b c n"],
        points: Points | None = None,
        parameters: Float[Tensor, "b p"] | None = None,
    ) -> Float[Tensor, "b c_out n"]:
        """Args:
        points: of these samples, `domain.at(batch)`; None for those of the training data.
        parameters: `batch.parameters`; None for zeros.

        Raises:
            ValueError: x does not fit the points; the points have a mask; another number of
                parameters.
        """
        points = points or self.grid
        points.check(x)
        if points.mask is not None:
            raise ValueError(
                "PublishedPointLSM needs clouds without padding: its sums count every point. Use "
                "LSM, or batches of clouds of one size."
            )
        position = points.nodes().to(x)
        position = position.expand(x.shape[0], -1, -1)
        if parameters is None:
            parameters = x.new_zeros(x.shape[0], self.num_parameters)
        if parameters.shape[1] != self.num_parameters:
            raise ValueError(
                f"This PublishedPointLSM takes {self.num_parameters} parameters per sample; got "
                f"{parameters.shape[1]}. Build it with num_parameters={parameters.shape[1]}."
            )
        xi = self.coordinates(position, parameters).to(x.dtype)
        rows, m2 = self.numbers[0].to(x.device), len(self.numbers[1])

        f = self._multiply(to_modes(self.lift(x), xi, self.numbers), self.modes_in)
        spectrum = f.new_zeros(*f.shape[:2], self.latent_shape[0], self.latent_shape[1] // 2 + 1)
        spectrum[:, :, rows, :m2] = f
        u = torch.fft.irfft2(spectrum, s=self.latent_shape)
        u = F.gelu(u + self.latent_position(unit_positions(self.latent_shape, x)[None]))
        u = self.trunk(u)
        f = self._multiply(torch.fft.rfft2(u)[:, :, rows, :m2], self.modes_out)
        return self.head(to_points_off_by_one(f, xi, self.numbers) + self.point_position(position))

    def _multiply(self, f: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("bixy,ioxy->boxy", f, torch.view_as_complex(weight).to(f))

    def load_published(
        self, state: Mapping[str, Tensor], coordinates: Mapping[str, Tensor]
    ) -> None:
        """Load the authors' `state_dict` of the network and that of its map of coordinates;
        `POINT_KEYS` and `COORDINATE_KEYS` list the names.

        Raises:
            ValueError: they are not those of this network.
        """
        load_published(self.coordinates, coordinates, COORDINATE_KEYS)
        prefix = "coordinates."
        mine = {prefix + n: v for n, v in self.coordinates.state_dict().items()}
        load_published(self, {**state, **mine}, {**POINT_KEYS, "coordinates": "coordinates"})


def to_points_off_by_one(f: Tensor, x: Tensor, numbers: Sequence[Tensor]) -> Tensor:
    """Σ_k f_k exp(2πi k·x) plus, for k₂ > 0, the conjugate of f at (-1 - k₁, k₂), real part.

    The right conjugate is that at (-k₁, k₂); then the second sum equals the first. With q = -1 - k₁
    the second sum is Re Σ_q f_q exp(2πi (q₁ + 1, q₂)·x).
    """
    mirrored = torch.cat([torch.zeros_like(f[..., :1]), f[..., 1:]], dim=-1)
    return to_points(f, x, numbers) + to_points(mirrored, x, [numbers[0] + 1, numbers[1]])
