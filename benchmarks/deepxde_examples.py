"""DeepXDE's examples of Burgers' and the Allen-Cahn equation, for DeepXDE and for pdeops.

Both sides have the same network (tanh layers of width 20 on x and t), the same points, the same
loss and the same first weights. DeepXDE is imported when a model is built.
"""
# Axes: c channel, d space, q entries of derivatives, n points.

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pdeops.domain import Grid
from pdeops.nn.jets import Derivatives, DerivativesT, Jet, coordinate_jets, jet_of
from pdeops.nn.space_time_field import SpaceTimeField
from pdeops.nn.tanh_network import TanhNetwork
from pdeops.solvers import AllenCahn, Burgers, Transport

WIDTHS = [20, 20, 20]
BOX = Grid((8,), 2.0, "periodic")  # the interval [-1, 1]; its boundary is not used


@dataclass(frozen=True)
class Example:
    """One of the examples.

    Attributes:
        u0: the initial field.
        points: numbers of points in the domain, at its ends and at t = 0.
        exact: u satisfies the initial and boundary values by construction; otherwise their mean
            squares are added to the loss.
        file, keys: the published solution, and the names of x, t and u (of t and x) in it.
    """

    name: str
    equation: Transport
    u0: Callable[[Tensor], Tensor]
    t_end: float
    points: tuple[int, int, int]
    exact: bool
    file: str
    keys: tuple[str, str, str]

    def solution(self, folder: Path) -> tuple[Tensor, Tensor, Tensor]:
        """x (1, n), t (n,) and u (n,) of the published solution."""
        import scipy.io

        path = folder / self.file
        data = np.load(path) if path.suffix == ".npz" else scipy.io.loadmat(path)
        x, t, u = (torch.from_numpy(np.asarray(data[key], np.float64)) for key in self.keys)
        u = u if u.shape == (t.numel(), x.numel()) else u.T
        T, X = torch.meshgrid(t.flatten(), x.flatten(), indexing="ij")
        return X.reshape(1, -1), T.flatten(), u.flatten()


EXAMPLES = {
    "burgers": Example(
        "burgers", Burgers(BOX, 0.01 / math.pi), lambda x: -torch.sin(math.pi * x), 0.99,
        (2540, 80, 160), False, "Burgers.npz", ("x", "t", "usol"),
    ),
    "allen_cahn": Example(
        "allen_cahn", AllenCahn(BOX, 0.001, 5.0), lambda x: x**2 * torch.cos(math.pi * x), 1.0,
        (8000, 400, 800), True, "Allen_Cahn_dirichlet.mat", ("x", "t", "u"),
    ),
}  # fmt: skip


def model(example: Example, dtype: str, seed: int, *, autodiff: str = "reverse") -> Any:
    """DeepXDE's model of an example, ready for steps of Adam.

    Raises:
        SystemExit: DeepXDE is not installed.
    """
    os.environ["DDE_BACKEND"] = "pytorch"
    try:
        import deepxde as dde
    except ImportError:
        raise SystemExit("DeepXDE is missing. Install it: pip install 'pdeops[bench]'.") from None
    dde.config.set_default_float(dtype)
    dde.config.set_default_autodiff(autodiff)
    dde.config.set_random_seed(seed)

    def value(v: Any) -> Tensor:  # forward mode has pairs of a tensor and its function
        return v[0] if isinstance(v, tuple) else v

    def residual(x: Tensor, y: Any) -> Tensor:
        u, u_t = value(y), value(dde.grad.jacobian(y, x, i=0, j=1))
        u_xx = value(dde.grad.hessian(y, x, i=0, j=0))
        if isinstance(example.equation, AllenCahn):
            return u_t - 0.001 * u_xx - 5 * (u - u**3)
        u_x = value(dde.grad.jacobian(y, x, i=0, j=0))
        return u_t + u * u_x - 0.01 / math.pi * u_xx

    box = dde.geometry.GeometryXTime(
        dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, example.t_end)
    )
    conditions = [
        dde.icbc.DirichletBC(box, lambda x: 0, lambda _, at_end: at_end),
        dde.icbc.IC(
            box, lambda x: example.u0(torch.from_numpy(x[:, :1])).numpy(), lambda _, at_0: at_0
        ),
    ]
    names = ("num_domain", "num_boundary", "num_initial")
    data = dde.data.TimePDE(
        box,
        residual,
        [] if example.exact else conditions,
        **dict(zip(names, example.points, strict=True)),
    )
    network = dde.nn.FNN([2, *WIDTHS, 1], "tanh", "Glorot normal")
    if example.exact:
        network.apply_output_transform(
            lambda x, y: example.u0(x[:, :1]) + x[:, 1:] * (1 - x[:, :1] ** 2) * y
        )
    built = dde.Model(data, network)
    built.compile("adam", lr=1e-3)
    built.train_state.set_data_train(*data.train_next_batch())
    return built


class Points(NamedTuple):
    """Points with what does not depend on the weights; u = start + factor · network."""

    x: Tensor
    t: Tensor
    inputs: Derivatives
    start: Derivatives
    factor: Derivatives


class Field(SpaceTimeField):
    """The network of an example, or u0 + t (1 - x²) times the network if `exact`."""

    def __init__(self, example: Example, *, exact: bool) -> None:
        super().__init__()
        self.equation, self.u0, self.t_end = example.equation, example.u0, example.t_end
        self.ends, self.exact = (example.t_end,), exact
        self.network = TanhNetwork(2, WIDTHS, 1)

    def collocate(self, x: Tensor, t: Tensor) -> Points:
        """Points and times, prepared."""
        linear = self.equation.drift, self.equation.diffusivity
        inputs = Jet(torch.cat([jet.data for jet in coordinate_jets(x, t)]), 1)
        factor = jet_of(lambda y: 1 - y**2, x).times_t(t)
        jets = (inputs, jet_of(self.u0, x), factor)
        return Points(x, t, *(jet.transport(*linear) for jet in jets))

    def parts(self, points: Points) -> list[tuple[TanhNetwork, Derivatives]]:
        """The network."""
        return [(self.network, points.inputs)]

    def residual_of(self, points: Points, *jets: Derivatives) -> Tensor:
        """That of the equation."""
        (u,) = jets
        if self.exact:
            u = points.start + product(points.factor, u)
        return u.residual(self.equation, points.x, points.t)

    def term_arguments(self, points: Points) -> tuple[Tensor, Tensor, Tensor]:
        """u, x and t."""
        return self(points.x, points.t), points.x, points.t

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """u at the points x and times t."""
        u = self.network(torch.cat([x, t[None]]))
        return self.u0(x) + t * (1 - x**2) * u if self.exact else u


def product(v: DerivativesT, w: DerivativesT) -> DerivativesT:
    """The derivatives of v w by the product rule."""
    first = v.value[:, None] * w.data[:, 1:] + w.value[:, None] * v.data[:, 1:]
    parts = [v.value * w.value, *first.unbind(1)]
    for entry, a, b, factor in v.products:
        mixed = v.data[:, a] * w.data[:, b] + v.data[:, b] * w.data[:, a]
        parts[entry] = parts[entry] + factor * mixed
    return replace(w, data=torch.stack(parts, 1))


class Loss:
    """The loss of DeepXDE for a field at the points of a model of DeepXDE: the mean square of the
    residual, and those of the errors at the ends and at t = 0 unless they are exact."""

    def __init__(self, field: Field, theirs: Any) -> None:
        self.field = field
        points = torch.from_numpy(theirs.train_state.X_train).T.contiguous()
        ends, initial = theirs.data.num_bcs or (0, 0)
        inside = points[:, ends + initial :]
        self.points = field.collocate(inside[:1].contiguous(), inside[1].contiguous())
        self.inputs = field.collocate(points[:1].contiguous(), points[1].contiguous()).inputs
        x = points[:1]
        target = torch.cat(
            [torch.zeros_like(x[:, :ends]), field.u0(x[:, ends : ends + initial])], 1
        )
        self.target, self.sizes = target, [ends, initial]

    def __call__(self) -> Tensor:
        m = sum(self.sizes)  # all points take one pass through the network; these come first
        u = self.field.network.jet(self.inputs)
        inside = replace(u, data=u.data[..., m:]) if m else u
        loss = self.field.residual_of(self.points, inside).square().mean()
        errors = (u.value[:, :m] - self.target).split(self.sizes, 1) if m else ()
        return sum((part.square().mean() for part in errors), loss)

    @torch.no_grad()
    def take_weights(self, theirs: Any) -> None:
        """Copy the weights of DeepXDE's network."""
        for ours, layer in zip(self.field.network.layers, theirs.net.linears, strict=True):
            ours.weight.copy_(layer.weight)
            ours.bias.copy_(layer.bias)
