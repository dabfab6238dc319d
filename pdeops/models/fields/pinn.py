"""PINN: a solution of a transport equation by a network of space and time (Raissi et al., 2019)."""
# Axes: d space, c channel, k waves of the embedding, n points.

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...nn.jets import Jet, axis_waves, fourier_embedding, jet_of
from ...nn.tanh_network import TanhNetwork
from ...solvers.evolution.equations.transport import Transport
from ...solvers.evolution.initial import check_initial


class Collocation(NamedTuple):
    """Points of one time window with what does not depend on the weights of its network."""

    x: Tensor
    t: Tensor
    window: int
    embedding: Jet
    start: Jet


class PINN(nn.Module):
    """Space and time -> u, the value of a periodic field that starts at u0.

        u(x, t) = u0(x) + Σ_{j<k} W_j(x, 1) + τ W_k(x, τ),   τ = (t - t_k)/(t_{k+1} - t_k),

    in window k of equal time windows, one tanh network W_k each. The initial field and the periods
    of the box hold exactly, and u is continuous across windows. The networks see
    cos(ξ·x + ωτ), sin(ξ·x + ωτ) of the `num_waves` longest waves of each axis (ω = 0), of
    `fourier_features` random waves, and τ (Wang, Wang and Perdikaris 2021; Dong and Ni 2021).

    A window is trained after those before it, which are then constant (`training.epochs` are
    divided among the windows). A smaller residual is not a smaller error: networks are smooth in t,
    and u = mean of u0 has a small residual at all later times. If convection carries a structure
    over more than about its own width, use windows, causal weights (`weights.causality`), or LPINN.

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
        windows: number of equal time windows.

    Raises:
        ValueError: u0 is not periodic, not finite or does not fit the equation; f₁, f₂ or S is not
            finite or f₂ < 0 at u0; t_end is not positive, or a number is too small.
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
        windows: int = 1,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("hidden_channels", hidden_channels, 1),
            ("num_layers", num_layers, 1),
            ("num_waves", num_waves, 1),
            ("fourier_features", fourier_features, 0),
            ("windows", windows, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be {least} or more; got {value}.")
        check_initial(equation, u0, t_end)
        self.equation, self.u0, self.t_end = equation, u0, float(t_end)
        self.num_windows = windows
        self.arguments: dict[str, Any] = {
            "hidden_channels": hidden_channels,
            "num_layers": num_layers,
            "num_waves": num_waves,
            "fourier_features": fourier_features,
            "wave_deviation": wave_deviation,
            "frequency_deviation": frequency_deviation,
            "windows": windows,
        }
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
        self.networks = nn.ModuleList(TanhNetwork(inputs, widths, c) for _ in range(windows))

    @property
    def duration(self) -> float:
        """Length of a window."""
        return self.t_end / self.num_windows

    def window_of(self, t: float) -> int:
        """The window that holds a time.

        Raises:
            ValueError: t is outside of [0, t_end].
        """
        if not 0 <= t <= self.t_end * (1 + 1e-12):
            raise ValueError(
                f"The solution is known for 0 <= t <= {self.t_end:.6g}; got t = {t:.6g}. Train "
                f"with a larger t_end."
            )
        return min(int(t / self.duration), self.num_windows - 1)

    def trained(self, window: int) -> list[nn.Module]:
        """The networks that the residual in a window depends on."""
        return [self.networks[window]]

    def collocate(
        self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"], window: int | None = None
    ) -> Collocation:
        """Points prepared for `residual`.

        Args:
            window: that of all points; by default the one of their mean time.
        """
        if window is None:
            window = self.window_of(t.double().mean().item())
        start = jet_of(lambda y: self.u0(y[None])[0], x).data
        with torch.no_grad():
            for j in range(window):
                end = self.embedding(x, torch.full_like(t, (j + 1) * self.duration), j)
                change = self._network(j).jet(end).data.clone()
                change[:, 1] = 0.0  # a function of x alone
                start = start + change
        return Collocation(x, t, window, self.embedding(x, t, window), Jet(start, len(x)))

    def embedding(self, x: Tensor, t: Tensor, window: int) -> Jet:
        """The inputs of the network of a window."""
        elapsed, omega = t - window * self.duration, self.frequencies / self.duration
        return fourier_embedding(x, elapsed, self.waves, omega, self.duration)

    def jet(self, points: Collocation) -> Jet:
        """The jet of u."""
        return self.assemble(points, self._network(points.window).jet(points.embedding))

    def assemble(self, points: Collocation, W: Jet) -> Jet:
        """u = start + τ W."""
        elapsed = points.t - points.window * self.duration
        return points.start + Jet(W.times_t(elapsed).data / self.duration, W.d)

    def residual(self, points: Collocation) -> Float[Tensor, "e n"]:
        """u_t + f₁·∇u - f₂ Δu - S, one row per channel."""
        return self.residual_of(points, self._network(points.window).jet(points.embedding))

    def residual_of(self, points: Collocation, W: Jet) -> Float[Tensor, "e n"]:
        """The residual for this jet of the network; each point by itself."""
        u = self.assemble(points, W)
        laplacian = torch.einsum("caan->cn", u.hessian)
        at = (u.dt, u.value, u.gradient, laplacian, points.x, points.t[None])
        return self.equation.residual(*(v[None] for v in at))[0]

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"]) -> Float[Tensor, "c n"]:
        """u at the points x and times t."""
        u = x.new_empty(self.equation.num_channels, x.shape[1])
        lowest, highest = (self.window_of(v.item()) for v in (t.min(), t.max()))
        number = (t / self.duration).long().clamp(max=self.num_windows - 1)
        for window in range(lowest, highest + 1):
            here = number == window
            if here.any():
                u[:, here] = self.jet(self.collocate(x[:, here], t[here], window)).value
        return u

    def _network(self, window: int) -> TanhNetwork:
        network = self.networks[window]
        assert isinstance(network, TanhNetwork)
        return network
