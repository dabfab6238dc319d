"""PINN: a solution of a transport equation by a network of space and time (Raissi et al., 2019)."""
# Axes: d space, c channel, k waves of the embedding, n points.

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...nn.field_layers import FieldLayers
from ...nn.jets import Derivatives, DerivativesT, Jet, axis_waves, fourier_embedding, jet_of
from ...nn.space_time_field import SpaceTimeField
from ...nn.tanh_network import TanhNetwork
from ...solvers.evolution.equations.transport import Transport
from ...solvers.evolution.initial import check_initial


class Collocation(NamedTuple):
    """Points of one time window with what does not depend on the weights of its network."""

    x: Tensor
    t: Tensor
    window: int
    embedding: Derivatives
    start: Derivatives


class PINN(SpaceTimeField):
    """Space and time -> u, the value of a periodic field that starts at u0.

        u(x, t) = u0(x) + Σ_{j<k} W_j(x, 1) + τ W_k(x, τ),   τ = (t - t_k)/(t_{k+1} - t_k),

    in the k-th time window, with a network W_k for each. The initial field and the periods
    of the box hold exactly, and u is continuous across windows. The inputs of the networks are
    cos(ξ·x + ωτ), sin(ξ·x + ωτ) of the `num_waves` longest waves of each axis (ω = 0), of
    `fourier_features` random waves, and τ (Wang, Wang and Perdikaris 2021; Dong and Ni 2021).

    A window is trained after those before it, which are then constant (`training.epochs` are
    divided among the windows). A smaller residual is not a smaller error: networks are smooth in t,
    and u = mean of u0 has a small residual at all later times. If convection carries a structure
    over more than about its own width, use windows or LPINN.

    Args:
        equation: the equation; its grid gives the box, which is periodic.
        u0: initial field, (1, d, n) points -> (1, c, n), twice differentiable if f₂ > 0.
        t_end: end of the time interval [0, t_end].
        hidden_channels: width of each network.
        num_layers: number of its hidden layers.
        num_waves: waves per axis in the embedding.
        fourier_features: number of random waves in the embedding.
        wave_deviation: standard deviation of their number of periods in the box, rounded, so that
            they are periodic.
        frequency_deviation: standard deviation of ω, in radians per window.
        windows: number of equal time windows, or the end of each window.
        activation: "tanh" or "sine".
        frequency: bound on the weights of the first layer of sines, see `SineNetwork`.
        winner: scale of noise on the initial weights of sines, see `FieldLayers`; 0 for none.

    Raises:
        ValueError: u0 is not periodic, not finite or does not fit the equation; f₁, f₂ or S is not
            finite or f₂ < 0 at u0; t_end is not positive, a number is too small, the windows do not
            cover [0, t_end], or an error of `FieldLayers`.
    """

    def __init__(
        self,
        equation: Transport,
        u0: Callable[[Tensor], Tensor],
        t_end: float | int,
        *,
        hidden_channels: int = 50,
        num_layers: int = 4,
        num_waves: int = 1,
        fourier_features: int = 0,
        wave_deviation: float = 2.0,
        frequency_deviation: float = 1.0,
        windows: int | list[float] = 1,
        activation: str = "tanh",
        frequency: float = 5.0,
        winner: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("hidden_channels", hidden_channels, 1),
            ("num_layers", num_layers, 1),
            ("num_waves", num_waves, 1),
            ("fourier_features", fourier_features, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be {least} or more; got {value}.")
        check_initial(equation, u0, t_end)
        self.equation, self.u0, self.t_end = equation, u0, float(t_end)
        self.ends = _window_ends(windows, self.t_end)
        self.arguments: dict[str, Any] = {
            "hidden_channels": hidden_channels,
            "num_layers": num_layers,
            "num_waves": num_waves,
            "fourier_features": fourier_features,
            "wave_deviation": wave_deviation,
            "frequency_deviation": frequency_deviation,
            "windows": windows,
            "activation": activation,
            "frequency": frequency,
            "winner": winner,
        }
        layers = FieldLayers(activation, frequency, winner)
        extent = equation.grid.extent
        fixed = axis_waves(extent, num_waves)
        periods = (wave_deviation * torch.randn(fourier_features, len(extent))).round().double()
        drawn = 2 * torch.pi * periods / fixed.new_tensor(extent)
        omega = frequency_deviation * torch.randn(fourier_features, dtype=torch.float64)
        self.waves: Tensor
        self.frequencies: Tensor
        self.register_buffer("waves", torch.cat([fixed, drawn]))
        self.register_buffer("frequencies", torch.cat([torch.zeros(len(fixed)).double(), omega]))
        widths = [hidden_channels] * num_layers
        inputs, c = 2 * len(self.waves) + 1, equation.num_channels
        self.networks = nn.ModuleList(layers.network(inputs, widths, c) for _ in self.ends)
        layers.add_noise(self.networks, u0, equation.grid, self.waves)

    def collocate(
        self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"], window: int | None = None
    ) -> Collocation:
        """Points prepared for `residual`.

        Args:
            window: that of all points; by default the one of their mean time.
        """
        if window is None:
            window = int(self.windows_of(t.mean()))
        start = jet_of(lambda y: self.u0(y[None])[0], x).data
        with torch.no_grad():
            for j in range(window):
                end = self.embedding(x, torch.full_like(t, self.ends[j]), j)
                change = self._network(j).jet(end).data.clone()
                change[:, 1] = 0.0  # a function of x alone
                start = start + change
        jets = (self.embedding(x, t, window), Jet(start, len(x)))
        return Collocation(x, t, window, *map(self._entries, jets))

    def _entries(self, jet: Jet) -> Derivatives:
        """What the residual needs of a jet; if f₂ is a number, u_t + c·∇u - f₂ Δu is one entry."""
        equation = self.equation
        if callable(equation.diffusivity):
            return jet
        return jet.transport(equation.drift, equation.diffusivity)

    def embedding(self, x: Tensor, t: Tensor, window: int) -> Jet:
        """The inputs of the network of a window."""
        begin, duration = self.interval(window)
        return fourier_embedding(x, t - begin, self.waves, self.frequencies / duration, duration)

    def parts(self, points: Collocation) -> list[tuple[TanhNetwork, Derivatives]]:
        """The network of the window and its inputs."""
        return [(self._network(points.window), points.embedding)]

    def jet(self, points: Collocation) -> Derivatives:
        """u and what the residual needs of its derivatives."""
        return self.assemble(points, self._network(points.window).jet(points.embedding))

    def assemble(self, points: Collocation, W: DerivativesT) -> DerivativesT:
        """u = start + τ W."""
        begin, duration = self.interval(points.window)
        growth = W.times_t(points.t - begin)
        return replace(growth, data=points.start.data + growth.data / duration)

    def term_arguments(self, points: Collocation) -> tuple[Tensor, Tensor, Tensor]:
        """u, x and t."""
        return self.jet(points).value, points.x, points.t

    def residual_of(self, points: Collocation, *jets: Derivatives) -> Float[Tensor, "e n"]:
        """u_t + f₁·∇u - f₂ Δu - S, one row per channel."""
        return self.assemble(points, *jets).residual(self.equation, points.x, points.t)

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"]) -> Float[Tensor, "c n"]:
        """u at the points x and times t."""
        u = x.new_empty(self.equation.num_channels, x.shape[1])
        number = self.windows_of(t)
        for window in number.unique().tolist():
            here = number == window
            u[:, here] = self.jet(self.collocate(x[:, here], t[here], window)).value
        return u

    def _network(self, window: int) -> TanhNetwork:
        network = self.networks[window]
        assert isinstance(network, TanhNetwork)
        return network


def _window_ends(windows: int | list[float], t_end: float) -> tuple[float, ...]:
    """The end of each window.

    Raises:
        ValueError: there is none, or they do not increase from 0 to t_end.
    """
    if isinstance(windows, int):
        if windows < 1:
            raise ValueError(f"windows must be 1 or more; got {windows}.")
        return tuple(t_end * (k + 1) / windows for k in range(windows))
    ends = tuple(float(t) for t in windows)
    if not ends or not all(a < b for a, b in pairwise((0.0, *ends))) or ends[-1] != t_end:
        raise ValueError(
            f"The time windows must cover [0, {t_end:g}]: ends that increase, the last {t_end:g}; "
            f"got {list(ends)}. Give their number, or these ends."
        )
    return ends
