"""The gradient of a PINN's loss: derivatives in x and t by jets, compared with nested automatic
differentiation, in reverse mode and by forward mode of torch.func."""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from pdeops.domain import Grid
from pdeops.models import PINN
from pdeops.solvers import Burgers
from pdeops.solvers.evolution.initial import Sine
from pdeops.tasks.collocation import CollocationPoints, CollocationTable

from .bench import Bench

POINTS, TIMES = 64, 48


class Sides:
    """One network and its points, and three ways to the same gradient."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        grid = Grid((64,), 2 * math.pi, "periodic")
        self.field = PINN(Burgers(grid, 0.05), Sine(grid), 1.0).double()
        points = CollocationPoints(self.field, CollocationTable(POINTS, TIMES), 1, 0)
        self.x, self.t = points.uniform(0).split(1)
        self.points = self.field.collocate(self.x, self.t[0])
        self.one = torch.ones_like(self.x)

    def gradient(self, residual: Tensor) -> Tensor:
        """The gradient of the mean square in all weights."""
        slopes = torch.autograd.grad(residual.square().mean(), list(self.field.parameters()))
        return torch.cat([g.flatten() for g in slopes])

    def u(self, x: Tensor, t: Tensor) -> Tensor:
        """The value of the field by plain layers."""
        angle = self.field.waves @ x
        h = torch.cat([angle.cos(), angle.sin(), t])
        network = self.field.networks[0]
        for layer in network.hidden:
            h = torch.tanh(layer.weight @ h + layer.bias[:, None])
        W = network.output.weight @ h + network.output.bias[:, None]
        return torch.sin(x) + t * W

    def residual(self, u: Tensor, u_t: Tensor, u_x: Tensor, u_xx: Tensor) -> Tensor:
        """That of the equation."""
        at = (u_t[None], u[None], u_x[None, None], u_xx[None], self.x[None], self.t[None])
        return self.field.equation.residual(*at)

    def jets(self) -> Tensor:
        """Derivatives carried through the layers."""
        return self.gradient(self.field.residual(self.points))

    def nested_reverse(self) -> Tensor:
        """torch.autograd.grad of the value, twice."""
        x, t = (v.clone().requires_grad_() for v in (self.x, self.t))
        u = self.u(x, t)
        u_x, u_t = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
        return self.gradient(self.residual(u, u_t, u_x, u_xx))

    def nested_forward(self) -> Tensor:
        """torch.func.jvp of the value, twice in x."""
        jvp = torch.func.jvp

        def slope(x: Tensor) -> tuple[Tensor, Tensor]:
            return jvp(lambda y: self.u(y, self.t), (x,), (self.one,))

        with warnings.catch_warnings():  # torch's rules for jvp are compiled by torch.jit
            warnings.simplefilter("ignore", DeprecationWarning)
            (u, u_x), (_, u_xx) = jvp(slope, (self.x,), (self.one,))
            _, u_t = jvp(lambda s: self.u(self.x, s), (self.t,), (self.one,))
        return self.gradient(self.residual(u, u_t, u_x, u_xx))


def _bench(name: str, reference: Callable[[Sides], Tensor], reference_name: str) -> Bench:
    return Bench(
        name=name,
        size=f"PINN 4 x 50 tanh, {POINTS} x {TIMES} points, Burgers: loss and its gradient",
        dtype="float64",
        setup=Sides,
        work=Sides.jets,
        reference=reference,
        work_name="jets (Taylor mode) through the layers, one backward pass",
        reference_name=reference_name,
        tolerance=1e-9,
    )


BENCHES = [
    _bench("pinn_reverse", Sides.nested_reverse, "nested torch.autograd.grad"),
    _bench("pinn_forward", Sides.nested_forward, "nested torch.func.jvp, one backward pass"),
]
