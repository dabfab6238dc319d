"""ST-FNO: the spatiotemporal Fourier neural operator (Cao, Brarda, Li, Xie, ICLR 2025)."""
# Axes: b batch, t instants, c and d channels, *space nodes, j functions of time, k modes.

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...calculus.helmholtz import project_divergence_free
from ...domain import Grid, Sphere
from ...nn import chebyshev
from ...nn.constants import constant, full
from ...nn.domains import check_domain
from ...nn.operator import Times
from ...nn.pointwise import Pointwise, PointwiseMLP
from ...nn.spacetime import MODES, ModeMap, SpaceTime, gauss_analysis, gauss_values

_ROUND_OFF = 1e-5  # of times, relative to the window; files may store them in float32
_MAX_WINDOWS = 10_000  # of one forward pass


class SpatiotemporalFNO(nn.Module):
    """ST-FNO, the spatiotemporal FNO on boxes and spheres: frames w(t), -τ <= t <= 0 -> frames at
    any later times, as a function of time and space:

        w(t) = w(0) + (t/T) Σ_jk v̂_jk p_j(t) φ_k,    v̂_jk = A_jk ŷ_jk + B_jk,    0 < t <= T

    with mapped Chebyshev polynomials p_j on the window [0, T] of the training (`nn.chebyshev`) and
    the modes φ_k of the domain: Fourier modes of a periodic box, spherical harmonics of a sphere
    (`nn.spherical_modes`, which also says why weights depend on degree and order). The features y
    are fields on `latent_shape` nodes at `latent_steps` instants of the window. A linear map takes
    the modes of the input, in space and time, to those of the window, and n_layers - 1 layers
    y <- gelu(M(K y) + W y + b) follow, K a matrix per mode p_j φ_k.

    Frames at other instants are values of the same functions. So the horizon and the number of
    frames are independent of each other, and of the number of input frames. Horizons beyond T are
    reached window by window, each from predicted frames. The input's modes are read from any grid,
    and the change w(t) - w(0) is evaluated on it, so the resolution of the input changes only w(0).

    Differences from the published network: functions of physical time replace the discrete Fourier
    transform over frames, which depends on their number and wraps around; transforms are divided by
    the number of nodes; the encodings of x and y, which are not periodic, are gone; the change is
    zero at t = 0; vector fields are projected. Instead of a layer norm over space and time, the
    scale of the data is removed once, and initial weights keep the variance of the features. At
    first A_jk is the same matrix for all modes.

    Only B depends on the position. It represents the response to a force that is fixed in space;
    without it (spatial_bias = False), the map commutes with shifts.

    On a sphere the sine of the latitude is one of the features, and without B the map commutes with
    rotations about the polar axis, as the equations on a rotating planet. Channels are scalars:
    depth, vorticity and divergence, not the components of a wind.

    Good values: n_modes 16 to 32, hidden_channels 16 to 32. `output_time_modes` bounds the accuracy
    in time: of FNO's flow with viscosity 1e-3, 40 frames one unit apart, 10, 20 and 30 functions
    leave 10, 1.3 and 0.2 per cent.

    Args:
        grid: training grid, a periodic box or a sphere.
        times_in: times of the input frames of the training, relative to the last: <= 0, increasing.
        times_out: times of its output frames: > 0, increasing; T is the last.
        n_modes: modes per axis of a box, even; (24, 24) keeps 24 x 13. On a sphere (L, M) keeps
            degrees l < L and orders |m| < M/2; (16, 32) all orders of 16 degrees.
        time_modes: number of functions p_j on which the layers act, by default 8.
        output_time_modes: number of functions p_j of the features and of the output, by default
            3/4 of the output frames, and all up to 8.
        input_time_modes: number of polynomials that the input frames are fitted by, by default 5,
            or as many as frames.
        n_layers: number of layers; the first takes the input to the window.
        mlp_channels: hidden width of the pointwise network in each layer.
        latent_steps: Gauss nodes of the window, by default as many as output_time_modes.
        latent_shape: nodes of the features, by default those of the training grid. Fewer, down to
            n_modes, are faster; shifts that are not multiples of their spacing then commute with
            the map approximately.
        spatial_bias: B is there. Good without it: flows without force, or with a constant one, and
            trainings on few trajectories, since each step of Adam also moves its short waves.
        divergence_free: the first d channels are a vector field, and the prediction is its
            projection to the fields without divergence.
        dropout: probability of dropping a whole channel after each layer, in training mode.

    Raises:
        ValueError: the domain is not a periodic box or a sphere; n_modes do not fit it; more
            functions of time than frames or nodes; times out of order; fewer input channels than
            output channels; divergence_free on a sphere.
    """

    domains: ClassVar[tuple[type, ...]] = (Grid, Sphere)
    has_time: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid | Sphere,
        *,
        times_in: Sequence[float] = (0.0,),
        times_out: Sequence[float] = (1.0,),
        n_modes: Sequence[int] = (16, 16),
        time_modes: int | None = None,
        output_time_modes: int | None = None,
        input_time_modes: int | None = None,
        hidden_channels: int = 20,
        n_layers: int = 4,
        mlp_channels: int = 32,
        latent_steps: int | None = None,
        latent_shape: Sequence[int] | None = None,
        spatial_bias: bool = True,
        divergence_free: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_domain(type(self), grid)
        self.grid, self.out_channels, self.in_channels = grid, out_channels, in_channels
        self.arguments: dict[str, Any] = {
            "n_modes": list(n_modes),
            "time_modes": time_modes,
            "output_time_modes": output_time_modes,
            "input_time_modes": input_time_modes,
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "mlp_channels": mlp_channels,
            "latent_steps": latent_steps,
            "latent_shape": None if latent_shape is None else list(latent_shape),
            "spatial_bias": spatial_bias,
            "divergence_free": divergence_free,
            "dropout": dropout,
        }
        self.times_in, self.times_out = _input_times(times_in), _output_times(times_out)
        self.horizon, self.memory = self.times_out[-1], -self.times_in[0]
        num_out = len(self.times_out)
        m_in = _given(input_time_modes, min(5, len(self.times_in)))
        m = _given(output_time_modes, max(min(8, num_out), -(-3 * num_out // 4)))
        self.time_modes = _given(time_modes, min(8, m))
        self.latent_steps = _given(latent_steps, m)
        self.window = (0.0, self.horizon), m, chebyshev.mapping(m, num_out)
        self.latent_shape = tuple(latent_shape or grid.shape)
        self.divergence_free = divergence_free
        self._check(m, m_in)
        chebyshev.fit(self.times_in, (-self.memory, 0.0), m_in)

        domains: list[Any] = [grid, grid.with_shape(self.latent_shape)]
        modes, _ = (MODES[type(grid)](d, n_modes, type(self).__name__) for d in domains)
        self.input_modes, self.output_modes, self.expansion = m_in, m, SpaceTime(modes)
        width, lifted = hidden_channels, m_in * in_channels
        self.lift = ModeMap(modes.num_modes, lifted, m * width, std=m**-0.5)
        self.encoding = nn.Parameter(torch.randn(m, width) / m)
        drawn = torch.randn(modes.num_positions, width)
        self.position_weight = nn.Parameter(drawn) if modes.num_positions else None
        self.convolutions = nn.ModuleList(
            ModeMap(self.time_modes * modes.num_modes, width, width, std=(2 * width) ** -0.5)
            for _ in range(n_layers - 1)
        )
        depths = [lifted, *[width] * (n_layers - 1)]
        self.mlps: Any = nn.ModuleList(PointwiseMLP(width, mlp_channels, width) for _ in depths)
        self.skips: Any = nn.ModuleList(Pointwise(c, width) for c in depths)
        for layer in (*self.mlps, *self.skips):
            layer.keep_variance()
        maps: dict[str, Any] = {"std": width**-0.5, "bias": spatial_bias, "pointwise": True}
        self.last_layer = ModeMap(m * modes.num_modes, width, out_channels, **maps)
        self.dropout = nn.Dropout1d(dropout)

    def forward(
        self,
        x: Float[Tensor, "b t c *space"],
        times_in: Times = None,
        times_out: Times = None,
    ) -> Float[Tensor, "b t_out d *space"]:
        """The frames at `times_out` after the frames x at `times_in`, times relative to the last
        frame of x; by default those of the training, with its spacing for another number of frames.

        Frames before the window of the training, -τ <= t, are not used.

        Raises:
            ValueError: x has other channels or axes, too few frames to fit; times out of order or
                not finite, or more than 10 000 windows ahead.
        """
        known, wanted = self._times_in(x, times_in), self._times_out(times_out)
        if self._inside(wanted):
            return self.head(self.features(x, known, wanted), x, known, wanted)
        parts, start = [], 0.0
        while True:
            # Times below count from the start of this window.
            inside = [t - start for t in wanted if self._inside((t - start,))]
            is_last = len(inside) == len(wanted)
            last = [self.horizon + t for t in self.times_in]
            needed = [] if is_last else [t for t in last if t > _ROUND_OFF * self.horizon]
            v = self.features(x, known)
            y = self.head(v, x, known, [*inside, *needed])
            parts.append(y[:, : len(inside)])
            if is_last:
                return torch.cat(parts, 1)
            x, known = self._next_input(x, known, y[:, len(inside) :], needed)
            wanted, start = wanted[len(inside) :], start + self.horizon

    def features(
        self, x: Float[Tensor, "b t c *space"], times_in: Times = None, times_out: Times = None
    ) -> Float[Tensor, "b steps h *latent"]:
        """The features y of one window, at its Gauss nodes and on the latent grid.

        Raises:
            ValueError: as `forward`, or an output time lies beyond the window [0, T].
        """
        known = self._times_in(x, times_in)
        if times_out is not None and not self._inside(self._times_out(times_out)):
            raise ValueError(
                f"Features belong to one window of length {self.horizon:g}; got output times up to "
                f"{float(times_out[-1]):g}. Take one window at a time."
            )
        with torch.autocast(x.device.type, enabled=False):
            u = self._polynomials(x.to(full(x.dtype)), known)
            u_hat = self.expansion.modes.analysis(u.movedim(1, -1))
            v_hat = self.lift(u_hat).unflatten(-1, (self.output_modes, -1))
            v_hat = v_hat.movedim(-2, 2).flatten(2, 3)
            encoding = gauss_values(self.latent_steps, self.output_modes, u) @ self.encoding.to(u)
            latent = self.expansion.modes.resample(u, self.latent_shape)
        (M, W), *layers = zip(self.mlps, self.skips, strict=True)
        skip = W.channels_last(latent.movedim(1, -1))[:, None]
        skip = skip + encoding.view(1, self.latent_steps, *[1] * self.grid.ndim, -1)
        if self.position_weight is not None:
            positions = self.expansion.modes.positions(self.latent_shape, u)
            skip = skip + positions @ self.position_weight.to(u)
        v = self._drop_channels(F.gelu(self._network(M, v_hat, self.output_modes) + skip))
        for K, (M, W) in zip(self.convolutions, layers, strict=True):
            u = self._network(M, K(self._analysis(v, self.time_modes)), self.time_modes)
            v = self._drop_channels(F.gelu(u + W.channels_last(v)))
        return v.movedim(-1, 2).to(x.dtype)

    def head(
        self,
        v: Float[Tensor, "b steps h *latent"],
        x: Float[Tensor, "b t c *space"],
        times_in: Times = None,
        times_out: Times = None,
    ) -> Float[Tensor, "b t_out d *space"]:
        """w(0), the last frame of x, and the change that the last layer computes from features v,
        at times of one window, in any order."""
        wanted = self.times_out if times_out is None else tuple(float(t) for t in times_out)
        v_hat = self.last_layer(self._analysis(v.movedim(2, -1), self.output_modes))
        instants = constant(_growing, (wanted, *self.window), v_hat)
        change = self.expansion.synthesis(v_hat, instants, x.shape[3:]).movedim(-1, 2)
        y = x[:, -1:, : self.out_channels] + change.to(x.dtype)
        if not self.divergence_free:
            return y
        assert isinstance(self.grid, Grid)
        return project_divergence_free(y, self.grid.with_shape(x.shape[3:]))

    def _analysis(self, v: Float[Tensor, "b t *latent h"], m: int) -> Float[Tensor, "b two jk h"]:
        """Coefficients j < m of features with channels last."""
        return self.expansion.analysis(v, gauss_analysis(self.latent_steps, m, v))

    def _network(
        self, M: PointwiseMLP, v_hat: Float[Tensor, "b two jk h"], m: int
    ) -> Float[Tensor, "b t *latent h"]:
        """M₂ gelu(M₁ v + m₁) + m₂ of the field with these coefficients, of m functions of time. M₁
        acts on the few coefficients instead of the nodes."""
        M1, m1, M2, m2 = M.maps()
        with torch.autocast(v_hat.device.type, enabled=False):
            h_hat = self.expansion.add_constant(F.linear(v_hat, M1), m1)
        instants = gauss_values(self.latent_steps, m, h_hat)
        h = self.expansion.synthesis(h_hat, instants, self.latent_shape)
        return F.linear(F.gelu(h), M2, m2)

    def _polynomials(
        self, x: Float[Tensor, "b t c *space"], times: Sequence[float]
    ) -> Float[Tensor, "b jc *space"]:
        """The coefficients of the polynomials on [-τ, 0] that fit the frames, for each channel."""
        used = self._used(times)
        x = x[:, len(times) - len(used) :]
        L = constant(chebyshev.fit, (used, (-self.memory, 0.0), self.input_modes), x)
        return torch.matmul(L, x.flatten(2)).view(x.shape[0], -1, *x.shape[3:])

    def _drop_channels(self, v: Float[Tensor, "b t *latent h"]) -> Float[Tensor, "b t *latent h"]:
        """Dropout of whole channels."""
        if not (self.training and self.dropout.p):
            return v
        kept = self.dropout(v.new_ones(v.shape[0], v.shape[-1], 1))
        return v * kept.view(v.shape[0], *[1] * (v.ndim - 2), -1)

    def _next_input(
        self, x: Tensor, times: Sequence[float], y: Tensor, new: Sequence[float]
    ) -> tuple[Tensor, tuple[float, ...]]:
        """The input of the next window: given frames that still lie in it, and predicted ones."""
        kept = [t for t in times if t - self.horizon >= -self.memory * (1 + _ROUND_OFF)]
        fixed = x[:, -1:, self.out_channels :].expand(-1, len(new), *[-1] * (x.ndim - 2))
        y = torch.cat([y, fixed], 2)
        frames = torch.cat([x[:, len(times) - len(kept) :], y], 1)
        return frames, tuple(t - self.horizon for t in (*kept, *new))

    def _used(self, times: Sequence[float]) -> tuple[float, ...]:
        """The times within the memory of the training, -τ <= t."""
        return tuple(t for t in times if t >= -self.memory * (1 + _ROUND_OFF))

    def _inside(self, times: Sequence[float]) -> bool:
        return max(times) <= self.horizon * (1 + _ROUND_OFF)

    def _times_in(self, x: Tensor, times: Times) -> tuple[float, ...]:
        """The times of the frames of x."""
        n = x.shape[1]
        if x.ndim != self.grid.ndim + 3 or x.shape[2] != self.in_channels:
            raise ValueError(
                f"SpatiotemporalFNO takes trajectories of shape (batch, frames, "
                f"{self.in_channels} channels, {self.grid.ndim} space axes); got {tuple(x.shape)}."
            )
        if times is None and n == len(self.times_in):
            return self.times_in
        if times is None:
            few = len(self.times_in) - 1
            spacing = self.memory / few if few else self.times_out[0]
            times = [spacing * (i + 1 - n) for i in range(n)]
        if len(times) != n:
            raise ValueError(f"{n} input frames need as many times; got {len(times)}.")
        known = _input_times(times)
        used = len(self._used(known))
        if used < self.input_modes:
            raise ValueError(
                f"SpatiotemporalFNO fits its input by {self.input_modes} polynomials in time, so "
                f"it needs as many frames or more from {self.times_in[0]:g} to 0 (earlier frames "
                f"are not used); got {used} of {n} frames there. Give more frames, or train with "
                f"fewer input_time_modes."
            )
        return known

    def _times_out(self, times: Times) -> tuple[float, ...]:
        wanted = self.times_out if times is None else _output_times(times)
        if wanted[-1] > _MAX_WINDOWS * self.horizon:
            raise ValueError(
                f"A prediction takes at most {_MAX_WINDOWS} windows of length {self.horizon:g}; "
                f"got times_out up to {wanted[-1]:g}. Give them in the units of the training."
            )
        return wanted

    def _check(self, m: int, m_in: int) -> None:
        """Raise a ValueError for more functions of time than frames or nodes, and for channels."""
        for name, number, frames, what in (
            ("output_time_modes", m, len(self.times_out), "output frames"),
            ("input_time_modes", m_in, len(self.times_in), "input frames"),
            ("output_time_modes", m, self.latent_steps, "latent_steps"),
            ("time_modes", self.time_modes, m, "output_time_modes"),
        ):
            if not 1 <= number <= frames:
                raise ValueError(
                    f"{name} is from 1 to the number of {what}, {frames}, which determine no more "
                    f"functions of time; got {number}."
                )
        if not 1 <= self.out_channels <= self.in_channels:
            raise ValueError(
                f"SpatiotemporalFNO predicts the change of the first channels of its last input "
                f"frame; got {self.in_channels} input and {self.out_channels} output channels."
            )
        if self.divergence_free and not isinstance(self.grid, Grid):
            raise ValueError(
                f"divergence_free projects the components of a velocity on a periodic box; got "
                f"{self.grid}. On a sphere use vorticity and divergence as channels."
            )
        if self.divergence_free and self.out_channels != self.grid.ndim:
            raise ValueError(
                f"divergence_free projects a vector field of {self.grid.ndim} components on this "
                f"grid; got {self.out_channels} output channels."
            )


def _given(value: int | None, default: int) -> int:
    return default if value is None else value


def _growing(
    times: Sequence[float], interval: chebyshev.Interval, m: int, alpha: float
) -> Float[np.ndarray, "t j"]:
    """(t/T) p_j(t), which vanishes at t = 0."""
    values = chebyshev.values(times, interval, m, alpha)
    return np.asarray(times)[:, None] / interval[1] * values


def _input_times(times: Any) -> tuple[float, ...]:
    found = tuple(float(t) for t in times)
    increasing = all(a < b for a, b in pairwise(found))
    if not found or not increasing or found[-1] != 0 or not all(map(math.isfinite, found)):
        raise ValueError(
            f"times_in are the times of the input frames relative to the last: finite, increasing, "
            f"the last 0; got {list(found)}."
        )
    return found


def _output_times(times: Any) -> tuple[float, ...]:
    found = tuple(float(t) for t in times)
    increasing = all(a < b for a, b in pairwise((0.0, *found)))
    if not found or not increasing or not all(map(math.isfinite, found)):
        raise ValueError(
            f"times_out are the times of the output frames after the last input frame: finite, "
            f"positive and increasing; got {list(found)}."
        )
    return found
