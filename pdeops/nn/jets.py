"""Values and derivatives of fields at points of space and time, carried through a network.

A jet has the value, the first derivative in time, and all first and second derivatives in space:
what an equation of second order needs. Each layer maps jets to jets by the chain rule (Taylor-mode
forward differentiation), so that a residual costs one pass over the layers and its gradient one
ordinary backward pass.
"""
# Axes: c channel, q entries of a jet (value, t, x_1, .., x_d, x_1x_1, .., x_dx_d), n points,
# d space.

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def pairs(d: int) -> list[tuple[int, int]]:
    """The axes (a, b), a <= b, of the second derivatives of a jet in d dimensions, in order."""
    return list(combinations_with_replacement(range(d), 2))


@dataclass(frozen=True)
class Jet:
    """Value and derivatives of a field at n points.

    Attributes:
        data: entries in the order value, ∂_t, ∂_1 .. ∂_d, and ∂_a∂_b for `pairs(d)`.
        d: number of space dimensions.
    """

    data: Float[Tensor, "c q n"]
    d: int

    @property
    def value(self) -> Float[Tensor, "c n"]:
        """The field."""
        return self.data[:, 0]

    @property
    def dt(self) -> Float[Tensor, "c n"]:
        """∂_t of the field."""
        return self.data[:, 1]

    @property
    def gradient(self) -> Float[Tensor, "c d n"]:
        """∂_a of the field."""
        return self.data[:, 2 : 2 + self.d]

    @property
    def hessian(self) -> Float[Tensor, "c d d n"]:
        """∂_a∂_b of the field."""
        order = pairs(self.d)
        rows = [
            torch.stack(
                [
                    self.data[:, 2 + self.d + order.index((min(a, b), max(a, b)))]
                    for b in range(self.d)
                ],
                1,
            )
            for a in range(self.d)
        ]
        return torch.stack(rows, 1)

    def __add__(self, other: "Jet") -> "Jet":
        return Jet(self.data + other.data, self.d)

    def linear(self, weight: Float[Tensor, "o c"], bias: Tensor | None = None) -> "Jet":
        """weight @ field + bias; it can be differentiated once."""
        if bias is None:
            bias = weight.new_zeros(len(weight))
        return Jet(_Linear.apply(self.data, weight, bias), self.d)

    def through(self, f: Tensor, df: Tensor, ddf: Tensor) -> "Jet":
        """f(field) for a function with these values and derivatives at the values of the field."""
        first = df[:, None] * self.data[:, 1:]
        second = [
            ddf * self.data[:, 2 + a] * self.data[:, 2 + b] + first[:, 1 + self.d + i]
            for i, (a, b) in enumerate(pairs(self.d))
        ]
        parts = [f[:, None], first[:, : 1 + self.d], torch.stack(second, 1)]
        return Jet(torch.cat(parts, 1), self.d)

    def tanh(self) -> "Jet":
        """tanh of the field; it can be differentiated once."""
        return Jet(_Tanh.apply(self.data, self.d), self.d)

    def times_t(self, t: Float[Tensor, " n"]) -> "Jet":
        """t times the field."""
        data = t * self.data
        return Jet(
            torch.cat([data[:, :1], data[:, 1:2] + self.data[:, :1], data[:, 2:]], 1), self.d
        )


class _Linear(torch.autograd.Function):
    """weight @ data for every entry of a jet, plus the bias in its value; differentiable once."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(data, weight)
        out = (weight @ data.flatten(1)).view(-1, *data.shape[1:])
        out[:, 0] += bias[:, None]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        data, weight = ctx.saved_tensors
        inner, flat = None, g.flatten(1)
        if ctx.needs_input_grad[0]:
            inner = (weight.T @ flat).view(data.shape)
        outer = flat @ data.flatten(1).T if ctx.needs_input_grad[1] else None
        return inner, outer, g[:, 0].sum(1) if ctx.needs_input_grad[2] else None


class _Tanh(torch.autograd.Function):
    """`Jet.through` for tanh with one pass per entry, forward and backward.

    With f = tanh v, s = f' = 1 - f²: f_a = s v_a and f_ab = s v_ab + f'' v_a v_b, where v_a, v_ab
    are derivatives of v in the coordinates; f'' = -2 f s, f''' = (6 f² - 2) s.
    """

    @staticmethod
    def forward(ctx: Any, data: Tensor, d: int) -> Tensor:
        f = torch.tanh(data[:, 0])
        s = torch.addcmul(torch.ones_like(f), f, f, value=-1)
        second = -2 * f * s
        out = torch.empty_like(data)
        out[:, 0] = f
        torch.mul(s[:, None], data[:, 1:], out=out[:, 1:])
        for i, (a, b) in enumerate(pairs(d), start=2 + d):
            out[:, i].addcmul_(second * data[:, 2 + a], data[:, 2 + b])
        ctx.save_for_backward(data, f, s, second)
        ctx.d = d
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        data, f, s, second = ctx.saved_tensors
        third = torch.addcmul(torch.full_like(f, -2.0), f, f, value=6).mul_(s)
        back = s[:, None] * g
        for i in range(1, data.shape[1]):
            back[:, 0].addcmul_(second * g[:, i], data[:, i])
        for i, (a, b) in enumerate(pairs(ctx.d), start=2 + ctx.d):
            h = second * g[:, i]
            back[:, 2 + a].addcmul_(h, data[:, 2 + b])
            back[:, 2 + b].addcmul_(h, data[:, 2 + a])
            back[:, 0].addcmul_(third * g[:, i], data[:, 2 + a] * data[:, 2 + b])
        return back, None


def coordinate_jets(x: Float[Tensor, "d n"], t: Float[Tensor, " n"]) -> tuple[Jet, Jet]:
    """The jets of the coordinates x (d channels) and t (one channel)."""
    d, n = x.shape
    data = x.new_zeros(d + 1, 2 + d + len(pairs(d)), n)
    data[:d, 0], data[d, 0], data[d, 1] = x, t, 1.0
    for a in range(d):
        data[a, 2 + a] = 1.0
    return Jet(data[:d], d), Jet(data[d:], d)


def jet_of(u0: Callable[[Tensor], Tensor], x: Float[Tensor, "d n"]) -> Jet:
    """The jet of a function of space alone that acts point by point, u0: (d, n) -> (c, n), by
    nested reverse differentiation. It carries no gradient."""
    with torch.enable_grad():
        y = x.detach().requires_grad_()
        value = u0(y)
        entries = []
        for channel in value.unbind(0):
            gradient = _slopes(channel, y)
            hessian = [_slopes(g, y) for g in gradient.unbind(0)]
            second = [hessian[a][b] for a, b in pairs(len(x))]
            entries.append(torch.stack([channel, 0 * channel, *gradient.unbind(0), *second]))
    return Jet(torch.stack(entries).detach(), len(x))


def _slopes(f: Float[Tensor, " n"], y: Float[Tensor, "d n"]) -> Float[Tensor, "d n"]:
    """∂f/∂y of an f that depends on y point by point, differentiable; zero of a constant."""
    if not f.requires_grad:
        return torch.zeros_like(y)
    return torch.autograd.grad(f.sum(), y, create_graph=True, materialize_grads=True)[0]


def fourier_embedding(
    x: Float[Tensor, "d n"],
    t: Float[Tensor, " n"],
    waves: Float[Tensor, "k d"],
    frequencies: Float[Tensor, " k"],
    duration: float,
) -> Jet:
    """The jets of cos(ξ_k·x + ω_k t), sin(ξ_k·x + ω_k t) of every row of `waves` ξ and
    `frequencies` ω, and of t/duration. A function of these has the periods of the box if each ξ is
    a wavenumber of it."""
    position, time = coordinate_jets(x, t)
    both = Jet(torch.cat([position.data, time.data]), position.d)
    angle = both.linear(torch.cat([waves, frequencies[:, None]], 1).to(x))
    c, s = angle.value.cos(), angle.value.sin()
    parts = [angle.through(c, -s, -c).data, angle.through(s, c, -s).data, time.data / duration]
    return Jet(torch.cat(parts), position.d)


def periodic_embedding(
    x: Float[Tensor, "d n"],
    t: Float[Tensor, " n"],
    extent: tuple[float, ...],
    t_end: float,
    num_waves: int = 1,
) -> Jet:
    """The jets of cos(2πk x_a/L_a), sin(2πk x_a/L_a), k = 1 .. num_waves, of each axis and of t/T.

    A function of these has the periods L exactly.
    """
    waves = axis_waves(extent, num_waves).to(x)
    return fourier_embedding(x, t, waves, torch.zeros_like(waves[:, 0]), t_end)


def axis_waves(extent: tuple[float, ...], num_waves: int) -> Float[Tensor, "k d"]:
    """The wavenumbers 2πk/L_a, k = 1 .. num_waves, along each axis."""
    rows = [
        [2 * torch.pi * k / L if b == a else 0.0 for b in range(len(extent))]
        for a, L in enumerate(extent)
        for k in range(1, num_waves + 1)
    ]
    return torch.tensor(rows, dtype=torch.float64)
