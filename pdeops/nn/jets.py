"""Values and derivatives of fields at points of space and time, carried through a network.

Each layer maps them by the chain rule (Taylor-mode forward differentiation), so that a residual
costs one pass over the layers and its gradient one ordinary backward pass. A `Jet` has the value,
the first derivative in time, and all first and second derivatives in space: what an equation of
second order needs. A `TransportJet` has one entry P u, P = ∂_t + c·∇ - κΔ, in place of ∂_t u and
the second derivatives: P f(u) = f' P u - κ f'' |∇u|² does not need them.
"""
# Axes: c channel, q entries (value, ∂_t or P, x_1, .., x_d, of a jet x_1x_1, .., x_dx_d), n points,
# d space.

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..kernels import tanh_entries
from ..kernels.tanh_entries import Product

Same = TypeVar("Same", bound="Derivatives")


def pairs(d: int) -> list[tuple[int, int]]:
    """The axes (a, b), a <= b, of the second derivatives of a jet in d dimensions, in order."""
    return list(combinations_with_replacement(range(d), 2))


@dataclass(frozen=True)
class Derivatives(ABC):
    """Value and derivatives of a field at n points, which functions map by the chain rule.

    Entry i > 0 of f(v) is f'(v) v_i and the terms of `products`.

    Attributes:
        data: the entries; the first is the value, the second contains ∂_t once, and ∂_1 .. ∂_d
            follow.
        d: number of space dimensions.
    """

    data: Float[Tensor, "c q n"]
    d: int

    @property
    @abstractmethod
    def products(self) -> tuple[Product, ...]:
        """The terms with f''."""

    @abstractmethod
    def residual(
        self, equation: Any, x: Float[Tensor, "d n"], t: Float[Tensor, " n"]
    ) -> Float[Tensor, "c n"]:
        """The residual of a `Transport` equation at points x and times t with these derivatives."""

    @property
    def value(self) -> Float[Tensor, "c n"]:
        """The field."""
        return self.data[:, 0]

    @property
    def gradient(self) -> Float[Tensor, "c d n"]:
        """∂_a of the field."""
        return self.data[:, 2 : 2 + self.d]

    def __add__(self: Same, other: Same) -> Same:
        return replace(self, data=self.data + other.data)

    def linear(self: Same, weight: Float[Tensor, "o c"], bias: Tensor | None = None) -> Same:
        """weight @ field + bias; it can be differentiated once."""
        if bias is None:
            bias = weight.new_zeros(len(weight))
        return replace(self, data=_Linear.apply(self.data, weight, bias))

    def through(self: Same, f: Tensor, df: Tensor, ddf: Tensor) -> Same:
        """f(field) for a function with these values and derivatives at the values of the field."""
        parts = [f, *(df[:, None] * self.data[:, 1:]).unbind(1)]
        for entry, a, b, factor in self.products:
            parts[entry] = parts[entry] + factor * ddf * self.data[:, a] * self.data[:, b]
        return replace(self, data=torch.stack(parts, 1))

    def tanh(self: Same) -> Same:
        """tanh of the field; it can be differentiated once."""
        return replace(self, data=_Tanh.apply(self.data, self.products))

    def times_t(self: Same, t: Float[Tensor, " n"]) -> Same:
        """t times the field."""
        data = t * self.data
        return replace(
            self, data=torch.cat([data[:, :1], data[:, 1:2] + self.data[:, :1], data[:, 2:]], 1)
        )


DerivativesT = TypeVar("DerivativesT", bound=Derivatives)


@dataclass(frozen=True)
class Jet(Derivatives):
    """Entries in the order value, ∂_t, ∂_1 .. ∂_d, and ∂_a∂_b for `pairs(d)`."""

    @property
    def products(self) -> tuple[Product, ...]:
        """∂_a∂_b f(v) = f' v_ab + f'' v_a v_b."""
        return tuple(
            Product(i, 2 + a, 2 + b, 1.0) for i, (a, b) in enumerate(pairs(self.d), 2 + self.d)
        )

    def residual(
        self, equation: Any, x: Float[Tensor, "d n"], t: Float[Tensor, " n"]
    ) -> Float[Tensor, "c n"]:
        """u_t + (c + f₁)·∇u - f₂ Δu - λ u - S."""
        at = (self.dt, self.value, self.gradient, self.laplacian, x, t[None])
        return equation.residual(*(v[None] for v in at))[0]

    @property
    def dt(self) -> Float[Tensor, "c n"]:
        """∂_t of the field."""
        return self.data[:, 1]

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

    @property
    def laplacian(self) -> Float[Tensor, "c n"]:
        """Δ of the field."""
        return torch.einsum("caan->cn", self.hessian)

    def transport(self, drift: Sequence[float], diffusivity: float) -> "TransportJet":
        """The value, ∂_t + drift·∇ - diffusivity Δ, and the gradient; drift may be empty."""
        transported = self.dt - diffusivity * self.laplacian
        for a, c in enumerate(drift):
            transported = transported + c * self.gradient[:, a]
        entries = [self.value, transported, *self.gradient.unbind(1)]
        return TransportJet(torch.stack(entries, 1), self.d, float(diffusivity))


@dataclass(frozen=True)
class TransportJet(Derivatives):
    """Entries in the order value, P u with P = ∂_t + c·∇ - κΔ, and ∂_1 .. ∂_d.

    Attributes:
        diffusivity: κ.
    """

    diffusivity: float

    @property
    def products(self) -> tuple[Product, ...]:
        """P f(v) = f' P v - κ f'' |∇v|²."""
        if self.diffusivity == 0:
            return ()
        return tuple(Product(1, 2 + a, 2 + a, -self.diffusivity) for a in range(self.d))

    def residual(
        self, equation: Any, x: Float[Tensor, "d n"], t: Float[Tensor, " n"]
    ) -> Float[Tensor, "c n"]:
        """P u + f₁·∇u - λ u - S; P must have the drift and the diffusivity of the equation."""
        at = (self.transported, self.value, self.gradient, x, t[None])
        return equation.residual_from_linear(*(v[None] for v in at))[0]

    @property
    def transported(self) -> Float[Tensor, "c n"]:
        """P of the field."""
        return self.data[:, 1]


class _Linear(torch.autograd.Function):
    """weight @ data for every entry, plus the bias in its value; differentiable once."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(data, weight)
        out = (weight @ data.flatten(1)).view(len(weight), *data.shape[1:])
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
    """`Derivatives.through` for tanh; differentiable once."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, products: Sequence[Product]) -> Tensor:
        bias = data.new_zeros(len(data))
        out = tanh_entries.entries(data, bias, products, torch.empty_like(data))
        ctx.save_for_backward(out)
        ctx.products = products
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return tanh_entries.slopes(out, g.clone(), ctx.products), None


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
