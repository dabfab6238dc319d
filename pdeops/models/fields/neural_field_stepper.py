"""A network whose weights are the state of a time scheme (INSR-PDE: Chen et al., 2023)."""
# Axes: d space, c channel of the outputs, q entries of a jet, n points, i j k as in
# `solvers.evolution.implicit_scheme`.

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...nearest import did_you_mean
from ...nn.field_layers import FieldLayers
from ...nn.jets import Jet, axis_waves, fourier_embedding
from ...nn.space_time_field import SpaceTimeField
from ...nn.step_forms import StepForm, TransportForm, VorticityForm
from ...nn.tanh_network import TanhNetwork
from ...solvers.evolution.equations.navier_stokes import NavierStokes
from ...solvers.evolution.equations.transport import Transport
from ...solvers.evolution.implicit_scheme import SCHEMES
from ...solvers.evolution.initial import check_initial, check_start


class Quadrature(NamedTuple):
    """Points of one step with what does not depend on the weights that it trains."""

    x: Tensor
    step: int
    embedding: Jet
    start: Jet


class NeuralFieldStepper(SpaceTimeField):
    """Space and time -> u, by a time scheme whose states are networks of space alone.

    The weights after step n + 1 minimise the residual of the scheme over the points,

        Σ_i |U_i - u_n - Δt Σ_j a_ij F(V_j, t_n + c_j Δt)|²,   U_s = u_{n+1},

    (`solvers.evolution.implicit_scheme`; midpoint: U - u_n - Δt F((U + u_n)/2)), with u_n fixed, F
    and its derivatives in x exact, and U_1 .. U_s the outputs of one network. u_0 is the initial
    field itself. A step starts with the weights of the step before it. Inputs of the networks are
    cos and sin of the `num_waves` longest waves of each axis, so that u is periodic. Between two
    steps u is the cubic through u and F at both.

    The equation is a `Transport` with solution u, or `NavierStokes` with the vorticity as solution
    and the outputs (ψ, ω) per stage (`nn.step_forms.VorticityForm`): instead of three fits per step
    (advection, pressure, projection), the velocity is the curl of ψ, which has no divergence.

    The published method has SIRENs of x, the midpoint rule, a penalty at the ends of the interval
    instead of periods, and minimises over new random points by Adam. Here uniform points, whose
    mean is the trapezoidal rule, make a step a least-squares problem for Gauss-Newton.

    Good values: as many points as weights per output, or more; `GaussNewton(least_damping=1e-9)`
    with four iterations per step and 150 for the first. The error of the scheme adds to that of the
    fits: at least the midpoint rule needs Δt small against (width of u)/(speed).

    With `winner` > 0 the network of the first step, whose weights the others take over, starts with
    noise that is scaled with the spectrum of u0 (`nn.field_layers`).

    Args:
        equation: the equation; its grid gives the box, which is periodic.
        u0: initial field, (1, d, n) points -> (1, c, n), twice differentiable if f₂ > 0.
        t_end: end of the time interval [0, t_end].
        num_steps: number of equal steps.
        scheme: "midpoint", "implicit_euler", "trapezoid", "radau" or "lobatto".
        hidden_channels: width of the network.
        num_layers: number of its hidden layers.
        num_waves: waves per axis in its inputs.
        activation: "sine" or "tanh".
        frequency: bound on the weights of the first layer of sines, see `SineNetwork`.
        winner: scale of the noise, see `FieldLayers`; 0 for none.

    Raises:
        ValueError: u0 is not periodic, not finite or does not fit the equation; f₁, f₂ or S is not
            finite or f₂ < 0 at u0; t_end is not positive, a number is too small, the scheme or
            the activation is unknown, or the networks or u0 do not admit `winner` > 0.
    """

    steps = True

    def __init__(
        self,
        equation: Transport | NavierStokes,
        u0: Callable[[Tensor], Tensor],
        t_end: float | int,
        *,
        num_steps: int = 100,
        scheme: str = "midpoint",
        hidden_channels: int = 20,
        num_layers: int = 3,
        num_waves: int = 1,
        activation: str = "sine",
        frequency: float = 5.0,
        winner: float = 0.0,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "num_steps": num_steps,
            "scheme": scheme,
            "hidden_channels": hidden_channels,
            "num_layers": num_layers,
            "num_waves": num_waves,
            "activation": activation,
            "frequency": frequency,
            "winner": winner,
        }
        for name in ("num_steps", "hidden_channels", "num_layers", "num_waves"):
            if self.arguments[name] < 1:
                raise ValueError(f"{name} must be 1 or more; got {self.arguments[name]}.")
        layers = FieldLayers(activation, frequency, winner)
        if scheme not in SCHEMES:
            raise ValueError(
                f"Unknown scheme {scheme!r}.{did_you_mean(scheme, tuple(SCHEMES))} Choose from "
                f"{', '.join(SCHEMES)}."
            )
        self.form: StepForm = _form(equation, u0, t_end)
        self.equation, self.u0, self.t_end = equation, u0, float(t_end)
        self.scheme = SCHEMES[scheme]
        self.ends = tuple(self.t_end * (k + 1) / num_steps for k in range(num_steps))
        self.waves: Tensor
        self.register_buffer("waves", axis_waves(equation.grid.extent, num_waves))
        self.started: Tensor
        self.register_buffer("started", torch.zeros((), dtype=torch.long))
        inputs, widths = 2 * len(self.waves), [hidden_channels] * num_layers
        outputs = self.scheme.num_stages * self.form.num_outputs
        self.networks = nn.ModuleList(layers.network(inputs, widths, outputs) for _ in self.ends)
        layers.add_noise(self.networks[:1], u0, equation.grid, self.waves)

    @torch.no_grad()
    def begin(self, t: Float[Tensor, " n"]) -> None:
        """Give the network of the step that begins at these times the weights of the step before
        it, once."""
        step = int(self.windows_of(t[:1]))
        if step == self.started:
            if step:
                previous = self.networks[step - 1].state_dict()
                self.networks[step].load_state_dict(previous)
            self.started += 1

    def collocate(
        self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"], step: int | None = None
    ) -> Quadrature:
        """Points prepared for `residual`.

        Args:
            t: times of one step; the first counts.
            step: number of the step, instead of t.
        """
        if step is None:
            step = int(self.windows_of(t[:1]))
        return Quadrature(x, step, self.embedding(x), self.outputs(x, step))

    def embedding(self, x: Float[Tensor, "d n"]) -> Jet:
        """The inputs of the networks."""
        zero = torch.zeros_like(self.waves[:, 0])
        waves = fourier_embedding(x, torch.zeros_like(x[0]), self.waves, zero, 1.0)
        return Jet(waves.data[:-1], waves.d)  # without time

    @torch.no_grad()
    def outputs(self, x: Float[Tensor, "d n"], num_steps: int) -> Jet:
        """The jet of u, or of (ψ, ω), after this many steps."""
        if num_steps == 0:
            return self.form.initial(x)
        stages = self._network(num_steps - 1).jet(self.embedding(x))
        return Jet(stages.data[-self.form.num_outputs :], stages.d)

    def parts(self, points: Quadrature) -> list[tuple[TanhNetwork, Jet]]:
        """The network of the step and its inputs."""
        return [(self._network(points.step), points.embedding)]

    def residual_of(self, points: Quadrature, *jets: Jet) -> Float[Tensor, "e n"]:
        """The residual of each stage, then the constraints of each."""
        (stages,), d, form = jets, points.start.d, self.form
        begin, dt = self.interval(points.step)
        states = self._states(points, stages)
        rates = [
            form.rate(Jet(v, d), points.x, begin + c * dt)
            for v, c in zip(self.scheme.evaluated(states), self.scheme.times, strict=True)
        ]
        values = torch.stack([form.state(Jet(u, d)) for u in states])
        r = self.scheme.residual(values, torch.stack(rates), dt)
        return torch.cat([r.flatten(0, 1), *(form.constraints(Jet(u, d)) for u in states[1:])])

    def _states(self, points: Quadrature, stages: Jet) -> Float[Tensor, "k c q n"]:
        """u_n and the stages."""
        start = points.start.data
        return torch.cat([start[None], stages.data.unflatten(0, (-1, len(start)))])

    @torch.no_grad()
    def check_terms(self, points: Quadrature) -> None:
        """Raise a ValueError that names the term and the point if a term of the equation is not
        finite, or f₂ < 0, while the outputs are finite."""
        begin, dt = self.interval(points.step)
        (network, inputs), d = self.parts(points)[0], points.start.d
        for v, c in zip(
            self.scheme.evaluated(self._states(points, network.jet(inputs))),
            self.scheme.times,
            strict=True,
        ):
            if v.isfinite().all():
                self.form.check_terms(Jet(v, d), points.x, begin + c * dt)

    def term_arguments(self, points: Quadrature) -> tuple[Tensor, Tensor, Tensor]:
        """u, x and t at the begin of the step."""
        begin, _ = self.interval(points.step)
        return self.form.state(points.start), points.x, torch.full_like(points.x[0], begin)

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"]) -> Float[Tensor, "c n"]:
        """u at the points x and times t.

        Raises:
            ValueError: a time is outside of [0, t_end], or its step has not been trained.
        """
        u = x.new_empty(self.equation.num_channels, x.shape[1])
        number = self.windows_of(t)
        for step in number.unique().tolist():
            if step >= self.started:
                raise ValueError(
                    f"{int(self.started)} of {len(self.ends)} steps are trained, which end at t = "
                    f"{self.ends[int(self.started) - 1] if self.started else 0.0:.6g}; got t = "
                    f"{t[number == step][0].item():.6g}. Resume the training."
                )
            here = number == step
            u[:, here] = self._within(x[:, here], t[here], step)
        return u

    def _within(
        self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"], step: int
    ) -> Float[Tensor, "c n"]:
        """The cubic Hermite interpolant of a step."""
        begin, dt = self.interval(step)
        s, form = (t - begin) / dt, self.form
        ends = [self.outputs(x, step), self.outputs(x, step + 1)]
        (u, v), (f, g) = (
            [form.state(jet) for jet in ends],
            [dt * form.rate(jet, x, begin + k * dt) for k, jet in enumerate(ends)],
        )
        bump = s**2 * (3 - 2 * s)
        slopes = s * (1 - s) ** 2 * f - s**2 * (1 - s) * g
        return (1 - bump) * u + bump * v + slopes

    def _network(self, step: int) -> TanhNetwork:
        network = self.networks[step]
        assert isinstance(network, TanhNetwork)
        return network


def _form(
    equation: Transport | NavierStokes, u0: Callable[[Tensor], Tensor], t_end: float | int
) -> StepForm:
    """The pointwise form of an equation, after the checks of u0."""
    if isinstance(equation, NavierStokes):
        check_start(equation, u0, t_end)
        return VorticityForm(equation, u0)
    check_initial(equation, u0, t_end)
    return TransportForm(equation, u0)
