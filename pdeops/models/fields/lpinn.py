"""LPINN: a solution of a transport equation on moving characteristics (Mojgani et al., 2023)."""
# Axes: d position or label, c channel of the solution, n points.

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...calculus.characteristics import Eulerian, Moved, to_points
from ...nearest import did_you_mean
from ...nn.jets import Jet, coordinate_jets, jet_of, periodic_embedding
from ...nn.lagrangian import METRICS, lagrangian_residual
from ...nn.space_time_field import SpaceTimeField
from ...nn.tanh_network import TanhNetwork
from ...solvers.evolution.equations.transport import Transport
from ...solvers.evolution.initial import check_initial

_FOLD_SAMPLES = 4096


class Collocation(NamedTuple):
    """Labels and times with what does not depend on the weights."""

    labels: Tensor
    t: Tensor
    embedding: Jet
    X0: Jet
    w0: Jet


class LPINN(SpaceTimeField):
    """Label and time -> position X and value w on the characteristic that starts at the label.

        X = ξ + c̄ t + t D(cos ξ, sin ξ, t),   w = u0(ξ) + t W(cos ξ, sin ξ, t),
        X_t = f₁(w, X, t),   w_t = f₂ Δ_x w + S(w, X, t)   for   u_t + f₁·∇u = f₂ Δu + S

    on a periodic box. The initial condition and the periods, X(ξ + L) = X(ξ) + L, hold exactly. c̄
    is the mean of f₁ at t = 0: a uniform speed then does not enter the residual, by Galilean
    invariance. `forward` evaluates u at fixed points, by inverting X (`calculus.characteristics`).

    The published network shares all weights between D and W (`shared`: D is the output of the
    second of five layers, of which the last three are one), keeps c̄ in X, and takes the diffusion
    in labels (`metric="label"`); its X without the displacement form is not kept, since a periodic
    function cannot increase by L.

    Good values: t_end before the map contracts below J = 0.1 (for inviscid equations before the
    shock); longer times in windows (`tasks.relabelling`).

    Args:
        equation: the equation; its grid gives the box.
        u0: initial field, (1, d, n) points -> (1, c, n), with the periods of the box, twice
            differentiable if f₂ > 0.
        t_end: end of the time interval [0, t_end].
        hidden_channels: width of both networks.
        position_layers: hidden layers of D.
        value_layers: hidden layers of W.
        num_waves: cosines and sines per axis in the embedding.
        metric: "physical", "divided" or "label", see `nn.lagrangian`.
        subtract_drift: use c̄; otherwise c̄ = 0.
        shared: one set of weights for both networks, as published; needs as many channels as axes.

    Raises:
        ValueError: u0 is not periodic, is not finite or does not fit the equation; f₁, f₂ or S is
            not finite or f₂ < 0 at u0; t_end is not positive; num_waves < 1.
    """

    def __init__(
        self,
        equation: Transport,
        u0: Callable[[Tensor], Tensor],
        t_end: float | int,
        *,
        hidden_channels: int = 50,
        position_layers: int = 2,
        value_layers: int = 5,
        num_waves: int = 1,
        metric: str = "physical",
        subtract_drift: bool = True,
        shared: bool = False,
    ) -> None:
        super().__init__()
        x, u = check_initial(equation, u0, t_end)
        _check_fold(equation, u0, t_end)
        self.equation, self.u0, self.t_end = equation, u0, float(t_end)
        self.grid, self.ends = equation.grid, (float(t_end),)
        self.arguments = {
            "hidden_channels": hidden_channels,
            "position_layers": position_layers,
            "value_layers": value_layers,
            "num_waves": num_waves,
            "metric": metric,
            "subtract_drift": subtract_drift,
            "shared": shared,
        }
        if metric not in METRICS:
            raise ValueError(
                f"Unknown metric {metric!r}.{did_you_mean(metric, METRICS)} Choose from "
                f"{', '.join(METRICS)}."
            )
        if num_waves < 1:
            raise ValueError(f"num_waves must be 1 or more; got {num_waves}.")
        self.metric, self.num_waves = METRICS[metric], num_waves
        mean, self.speed = _initial_velocity(equation, x, u)
        self._range = u.amin().item(), u.amax().item()
        self.drift: Tensor
        self.register_buffer("drift", mean if subtract_drift else torch.zeros_like(mean))
        if not subtract_drift:
            self.speed = max(self.speed, mean.abs().max().item())
        d, c = self.grid.ndim, equation.num_channels
        inputs = 2 * num_waves * d + 1
        if shared:
            self.D, self.W = TanhNetwork.shared(inputs, hidden_channels, d, c)
        else:
            self.D = TanhNetwork(inputs, [hidden_channels] * position_layers, d)
            self.W = TanhNetwork(inputs, [hidden_channels] * value_layers, c)

    def collocate(self, labels: Float[Tensor, "d n"], t: Float[Tensor, " n"]) -> Collocation:
        """Labels and times, prepared for `residual`."""
        position, _ = coordinate_jets(labels, t)
        start = position.data.clone()
        start[:, 0] += self.drift.to(t)[:, None] * t
        start[:, 1] += self.drift.to(t)[:, None]
        w0 = jet_of(lambda x: self.u0(x[None])[0], labels)
        embedding = periodic_embedding(labels, t, self.grid.extent, self.t_end, self.num_waves)
        return Collocation(labels, t, embedding, Jet(start, position.d), w0)

    def jets(self, points: Collocation) -> tuple[Jet, Jet]:
        """The jets of X and w in labels and time."""
        return self.assemble(points, self.D.jet(points.embedding), self.W.jet(points.embedding))

    def assemble(self, points: Collocation, D: Jet, W: Jet) -> tuple[Jet, Jet]:
        """X = ξ + c̄ t + t D and w = u0 + t W."""
        return points.X0 + D.times_t(points.t), points.w0 + W.times_t(points.t)

    def parts(self, points: Collocation) -> list[tuple[TanhNetwork, Jet]]:
        """D and W, and their inputs."""
        return [(self.D, points.embedding), (self.W, points.embedding)]

    def term_arguments(self, points: Collocation) -> tuple[Tensor, Tensor, Tensor]:
        """w, X in the box, and t."""
        X, w = self.jets(points)
        L = X.data.new_tensor(self.grid.extent)[:, None]
        return w.value, X.value.remainder(L), points.t

    def residual_of(self, points: Collocation, *jets: Jet) -> Float[Tensor, "e n"]:
        """The d residuals of X, divided by the largest speed at t = 0, and the c of w."""
        X, w = self.assemble(points, *jets)
        r_X, r_w = lagrangian_residual(self.equation, X, w, points.t, self.metric)
        return torch.cat([r_X / self.speed, r_w])

    def flow(self, labels: Float[Tensor, "d n"], t: float | int) -> Moved:
        """X, ∂X/∂ξ and w at time t."""
        X, w = self.jets(self.collocate(labels, torch.full_like(labels[0], float(t))))
        return Moved(X.value, X.gradient, w.value)

    @torch.no_grad()
    def at(self, x: Float[Tensor, "d n"], t: float | int, *, num_labels: int = 512) -> Eulerian:
        """u at the points x and time t, with the labels and the smallest J.

        Where the map has folded, u is the entropy solution if u is constant along characteristics
        (f₂ = 0, S = 0) and f₁ depends on u alone.

        Args:
            num_labels: labels that bracket those of the points; in two dimensions, four times its
                square root per axis.

        Raises:
            ValueError: t is outside [0, t_end], or an error of `to_points`.
        """
        self.check_times(torch.tensor([float(t)]))
        n = num_labels if self.grid.ndim == 1 else round(num_labels**0.5) * 4
        labels = self.grid.with_shape((n,) * self.grid.ndim)
        return to_points(
            lambda xi: self.flow(xi, t), x, labels, flux_is_convex=self._flux_is_convex(x)
        )

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"]) -> Float[Tensor, "c n"]:
        """u at the points x and times t."""
        u = x.new_empty(self.equation.num_channels, x.shape[1])
        for time in t.unique():
            here = t == time
            u[:, here] = self.at(x[:, here], time.item()).u
        return u

    def _flux_is_convex(self, x: Tensor) -> bool:
        """Whether f₁ increases with u over the initial values, as far as the ends show."""
        if self.grid.ndim > 1 or self.equation.num_channels > 1:
            return True
        ends = x.new_tensor([[self._range]])
        f1 = self.equation.velocity_at(ends, x.new_zeros(1, 1, 2), x.new_zeros(1, 1, 2))
        return bool((f1[..., -1] >= f1[..., 0]).all())


def _initial_velocity(
    equation: Transport, x: Float[Tensor, "1 d n"], u: Float[Tensor, "1 c n"]
) -> tuple[Float[Tensor, " d"], float]:
    """The mean of f₁(u0, x, 0) over the box, and the largest deviation from it (1 if there is
    none)."""
    t = torch.zeros_like(x[:, :1])
    f1 = equation.velocity_at(u, x, t).expand(1, equation.grid.ndim, x.shape[2])[0]
    mean = f1.mean(1)
    speed = (f1 - mean[:, None]).abs().max().item()
    return mean, speed if speed > 1e-9 * (1 + mean.abs().max().item()) else 1.0


def fold_time(equation: Transport, u0: Callable[[Tensor], Tensor]) -> float:
    """The time at which the characteristics of u_t + f₁(u, x, t) u_x = 0 cross, as far as the slope
    of f₁(u0) at t = 0 tells: J = 1 + t ∂f₁/∂u u0'. Infinite if they do not, if there is diffusion,
    for several channels and in two dimensions."""
    grid = equation.grid
    if grid.ndim > 1 or equation.num_channels > 1 or equation.diffusivity != 0:
        return math.inf
    x = grid.with_shape((_FOLD_SAMPLES,)).nodes()[None]
    u, t = u0(x), torch.zeros_like(x)
    change = equation.velocity_at(u.roll(-1, 2), x, t) - equation.velocity_at(u, x, t)
    slope = change.min().item() * _FOLD_SAMPLES / grid.extent[0]
    return -1 / slope if slope < 0 else math.inf


def _check_fold(equation: Transport, u0: Callable[[Tensor], Tensor], t_end: float | int) -> None:
    """Raise a ValueError if the characteristics cross before 1 % of the time has passed."""
    time = fold_time(equation, u0)
    if time < 0.01 * t_end:
        raise ValueError(
            f"The map of the characteristics folds at about t = {time:.3g}, long before t_end = "
            f"{float(t_end):.6g}, because f₁(u0) falls steeply. Use smoother initial data, f₂ > 0, "
            f"or a finite-volume solver (`solve_conservation_law`)."
        )
