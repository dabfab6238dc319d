"""Advection, diffusion and reaction: one description for solvers, estimators and networks."""
# Axes: b batch, c channel, d direction, *space nodes of a grid, *points nodes or scattered points
# (none if each row of the batch is a point), *waves coefficients.

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from ....domain import Grid
from ..pseudospectral import (
    PseudoSpectral,
    courant_rate,
    derivative_symbols,
    laplacian_symbol,
    require_coefficients,
    require_periodic,
)

Term = Callable[[Tensor, Tensor, Any], Any]


class Transport(PseudoSpectral):
    """u_t + (c + f₁(u, x, t))·∇u = f₂ Δu + λ u + S(u, x, t), for one or more channels u.

    c, λ and a constant f₂ belong to the linear part L, which ETDRK4 integrates exactly; f₁, S and a
    variable f₂(u, x, t) to N. The terms stand here once: `nonlinear` is the solver's form,
    `residual` the form at scattered points, given u and its derivatives there.

    f₁, f₂ and S are functions of tensors u (b, c, *points), x (1 or b, d, *points) and t (a number,
    or a tensor that broadcasts with u). f₁ returns one channel per direction, f₂ and S one channel
    or one per channel of u; a number stands for a constant. A class of its own defines them as
    methods `velocity` and `source`, and if they are polynomials in u and do not depend on t sets
    `degree` (of f₁·∇u and S in u and its derivatives) and `autonomous`.

    Args:
        grid: periodic if there is a velocity; for networks only its box counts.
        drift: c, one number per axis.
        velocity: f₁.
        diffusivity: f₂, a number >= 0 or a function. ETDRK4 takes a variable f₂ explicitly, so that
            dt is limited by f₂ |ξ|² (`rate`).
        growth: λ.
        source: S.
        degree: see above; 2 by default, for which products of f₁ with ∇u do not alias.

    Raises:
        ValueError: a coefficient is negative or not finite, drift has not one number per axis, or
            there is a velocity and the grid is not periodic.
    """

    velocity: Term | None = None
    diffusivity: Term | float = 0.0
    source: Term | None = None
    autonomous = False

    def __init__(
        self,
        grid: Grid,
        *,
        drift: Sequence[float | int] | None = None,
        velocity: Term | None = None,
        diffusivity: Term | float | int | None = None,
        growth: float | int = 0.0,
        source: Term | None = None,
        num_channels: int = 1,
        degree: int | None = None,
        series: Sequence[str] | str | None = None,
    ) -> None:
        name = type(self).__name__
        if drift is not None and len(drift) != grid.ndim:
            raise ValueError(
                f"The drift of {name} needs one component per axis ({grid.ndim}); got "
                f"{list(drift)}."
            )
        self.drift = tuple(float(c) for c in drift or ())
        if not all(map(math.isfinite, (*self.drift, growth))):
            raise ValueError(
                f"{name} needs a finite drift and growth; got {list(self.drift)} and {growth}."
            )
        if diffusivity is not None and not callable(diffusivity):
            require_coefficients(name, diffusivity=diffusivity)
            diffusivity = float(diffusivity)
        given = {"velocity": velocity, "diffusivity": diffusivity, "source": source}
        self.__dict__ |= {k: v for k, v in given.items() if v is not None}
        self.growth, self.num_channels = float(growth), num_channels
        self.degree = self.degree if degree is None else degree
        if self.velocity is not None or self.drift:
            require_periodic(grid, name)
        self._place(grid, series)

    def _place(self, grid: Grid, series: Sequence[str] | str | None) -> None:
        """Symbols and nodes of a grid."""
        self.laplacian = laplacian_symbol(grid, series)
        self.derivatives = derivative_symbols(grid) if self.velocity or self.drift else []
        f2 = 0.0 if callable(self.diffusivity) else self.diffusivity
        symbol = f2 * self.laplacian + self.growth
        if self.drift:
            symbol = symbol - sum(c * d for c, d in zip(self.drift, self.derivatives, strict=True))
        super().__init__(grid, symbol, series)
        self.x = grid.nodes()[None]

    def on(self, grid: Grid) -> "Transport":
        """The same equation on another grid of the box."""
        other = copy.copy(self)
        other._place(grid, self.series)
        return other

    # The form at scattered points.

    def residual(
        self,
        u_t: Float[Tensor, "b c *points"],
        u: Float[Tensor, "b c *points"],
        gradient: Float[Tensor, "b c d *points"],
        laplacian: Float[Tensor, "b c *points"],
        x: Float[Tensor, "#b d *points"],
        t: Any,
    ) -> Float[Tensor, "b c *points"]:
        """u_t + (c + f₁)·∇u - f₂ Δu - λ u - S; zero for a solution."""
        terms = self.velocity_at(u, x, t), self.diffusivity_at(u, x, t), self.source_at(u, x, t)
        return u_t - _sum(terms, gradient.unbind(2), laplacian)

    def residual_from_linear(
        self,
        Pu: Float[Tensor, "b c *points"],
        u: Float[Tensor, "b c *points"],
        gradient: Float[Tensor, "b c d *points"],
        x: Float[Tensor, "#b d *points"],
        t: Any,
    ) -> Float[Tensor, "b c *points"]:
        """Pu + f₁·∇u - λ u - S with Pu = u_t + c·∇u - f₂ Δu: `residual` for a number f₂."""
        f1 = None if self.velocity is None else self._value("velocity", u, x, t)
        return Pu - _sum((f1, None, self.source_at(u, x, t)), gradient.unbind(2), None)

    def velocity_at(
        self, u: Float[Tensor, "b c *points"], x: Float[Tensor, "#b d *points"], t: Any
    ) -> Float[Tensor, "..."]:
        """c + f₁, which broadcasts to (b, d, *points)."""
        drift = u.new_tensor(self.drift or [0.0] * x.shape[1]).reshape(1, -1, *[1] * (u.ndim - 2))
        return drift if self.velocity is None else drift + self._value("velocity", u, x, t)

    def diffusivity_at(
        self, u: Float[Tensor, "b c *points"], x: Float[Tensor, "#b d *points"], t: Any
    ) -> Float[Tensor, "..."]:
        """f₂, which broadcasts with u."""
        if callable(self.diffusivity):
            return self._value("diffusivity", u, x, t)
        return u.new_full((1,) * u.ndim, self.diffusivity)

    def source_at(
        self, u: Float[Tensor, "b c *points"], x: Float[Tensor, "#b d *points"], t: Any
    ) -> Float[Tensor, "b c *points"]:
        """λ u + S."""
        linear = self.growth * u
        return linear if self.source is None else linear + self._value("source", u, x, t)

    def check_terms(
        self, u: Float[Tensor, "b c *points"], x: Float[Tensor, "#b d *points"], t: Any
    ) -> None:
        """Raise a ValueError unless f₁, f₂ and S are finite, and f₂ >= 0, at these points."""
        for name in ("velocity", "diffusivity", "source"):
            if callable(getattr(self, name)):
                value = self._value(name, u, x, t)
                wrong = ~value.isfinite()
                if name == "diffusivity":
                    wrong = wrong | (value < 0)
                if wrong.any():
                    raise ValueError(self._fault(name, value, wrong, u, x, t))

    def _fault(self, name: str, value: Tensor, wrong: Tensor, u: Tensor, x: Tensor, t: Any) -> str:
        """The first point at which a term is wrong."""
        at = wrong.nonzero()[0].tolist()

        def here(v: Any, channel: int | slice) -> list[float]:
            v = torch.as_tensor(v, dtype=u.dtype)
            v = v.expand(u.shape[0], v.shape[1] if v.ndim > 1 else 1, *u.shape[2:])
            return [round(w, 6) for w in v[at[0], channel, *at[2:]].reshape(-1).tolist()]

        expected = "a finite number >= 0" if name == "diffusivity" else "a finite number"
        return (
            f"The {name} of {type(self).__name__} must be {expected}; got "
            f"{value[tuple(at)].item()} at x = {here(x, slice(None))}, t = {here(t, 0)}, u = "
            f"{here(u, slice(None))}. Check the function that defines it."
        )

    def _value(self, name: str, u: Tensor, x: Tensor, t: Any) -> Tensor:
        """A term that is a function, with the axes of u."""
        value = getattr(self, name)(u, x, t)
        channels = (x.shape[1],) if name == "velocity" else (1, u.shape[1])
        if isinstance(value, Tensor) and value.shape == u.shape and u.shape[1] in channels:
            return value
        if not isinstance(value, Tensor):
            value = u.new_full((), float(value))
        if value.ndim == 0:
            value = value.reshape((1,) * u.ndim)
        fits = value.ndim == u.ndim and value.shape[1] in (1, *channels)
        if not fits or any(n not in (1, m) for n, m in _other_axes(value, u)):
            raise ValueError(
                f"The {name} of {type(self).__name__} must be a number or a tensor of "
                f"{' or '.join(map(str, channels))} channel(s) that broadcasts with u, "
                f"{tuple(u.shape)}; got {tuple(value.shape)}."
            )
        return value

    # The form of the solver. c, λ and a constant f₂ are in the symbol.

    def nonlinear(self, u_hat: Inexact[Tensor, "b c *waves"], t: float) -> Inexact[Tensor, "..."]:
        """(-f₁·∇u + f₂ Δu + S)^ of those of f₁, f₂, S that are functions."""
        if not self._has_functions():
            return torch.zeros_like(u_hat)
        u = self.at_nodes(u_hat)
        return self.waves(_sum(self._functions(u, t), *self._slopes(u_hat)).expand_as(u))

    def frozen(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """v ↦ (-f₁(u)·∇v + f₂(u) Δv + S(u))^."""
        if not self._has_functions():
            return torch.zeros_like
        u = self.at_nodes(u_hat)
        terms = self._functions(u, t)
        return lambda v_hat: self.waves(_sum(terms, *self._slopes(v_hat)).expand_as(u))

    def tangent(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """d ↦ (-f₁·∇d + f₂ Δd - (f₁'d)·∇u + (f₂'d) Δu + S'd)^, f₁', f₂', S' by differentiation at
        u."""
        if not self._has_functions():
            return torch.zeros_like
        u, slopes_of_u = self.at_nodes(u_hat), self._slopes(u_hat)
        with torch.enable_grad():
            v = u.detach().requires_grad_()
            jacobians = [None if f is None else _jacobian(f, v) for f in self._functions(v, t)]
        f1, f2, _ = self._functions(u, t)

        def derivative(d_hat: Tensor) -> Tensor:
            d = self.at_nodes(d_hat)
            changes = [None if J is None else _product(J, d) for J in jacobians]
            change = _sum([f1, f2, None], *self._slopes(d_hat)) + _sum(changes, *slopes_of_u)
            return self.waves(change.expand_as(d))

        return derivative

    def rate(self, u_hat: Inexact[Tensor, "b c *waves"], t: float = 0.0) -> Tensor | None:
        """max Σ_a |f₁|_a/h_a; of a variable f₂ also max f₂ |ξ|²/2 over the waves that are kept, by
        which the stability limit of advection becomes that of explicit diffusion."""
        u, rates = self.decode(u_hat), []
        f1, f2, _ = self._functions(u, t)
        if f1 is not None:
            rates.append(courant_rate(f1.expand(-1, self.grid.ndim, *u.shape[2:]), self.grid))
        if f2 is not None:
            rates.append(f2.amax() * self.cast(-self.laplacian * self.kept, u).amax() / 2)
        return torch.stack(rates).amax() if rates else None

    def _has_functions(self) -> bool:
        return any(callable(term) for term in (self.velocity, self.diffusivity, self.source))

    def _functions(self, u: Tensor, t: float) -> list[Tensor | None]:
        """f₁, f₂, S at the nodes; None of one that is not a function."""
        x = self.cast(self.x, u)
        return [
            self._value(name, u, x, t) if callable(getattr(self, name)) else None
            for name in ("velocity", "diffusivity", "source")
        ]

    def _slopes(self, u_hat: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """∂_a u if f₁ is a function, and Δu if f₂ is one, at the nodes."""
        gradient, laplacian = [], None
        if self.velocity is not None:
            gradient = [self.at_nodes(u_hat * self.cast(d, u_hat)) for d in self.derivatives]
        if callable(self.diffusivity):
            laplacian = self.at_nodes(u_hat * self.cast(self.laplacian, u_hat))
        return gradient, laplacian


def _sum(
    terms: Sequence[Tensor | None], gradient: Sequence[Tensor], laplacian: Tensor | None
) -> Tensor:
    """-f₁·∇u + f₂ Δu + S of the terms that are not None; 0 without any.

    Args:
        gradient: ∂_a u of each direction a.
    """
    f1, f2, total = terms
    if f2 is not None and laplacian is not None:
        diffusion = f2 * laplacian
        total = diffusion if total is None else total + diffusion
    if f1 is not None:
        for a, slope in enumerate(gradient):
            advection = f1[:, a : a + 1] * slope if f1.shape[1] > 1 else f1 * slope
            total = -advection if total is None else total - advection
    return torch.zeros(()) if total is None else total


def _jacobian(f: Float[Tensor, "b i *points"], u: Float[Tensor, "b c *points"]) -> Tensor:
    """∂f_i/∂u_c (b, i, c, *points) of an f that depends on u point by point."""
    rows = []
    for row in f.unbind(1):
        (slope,) = (
            torch.autograd.grad(row.sum(), u, retain_graph=True, allow_unused=True)
            if row.requires_grad
            else (None,)
        )
        rows.append(torch.zeros_like(u) if slope is None else slope)
    return torch.stack(rows, 1)


def _product(
    J: Float[Tensor, "b i c *points"], d: Float[Tensor, "b c *points"]
) -> Float[Tensor, "b i *points"]:
    """Σ_c J_ic d_c."""
    parts = [J[:, :, c] * d[:, c : c + 1] for c in range(d.shape[1])]
    return sum(parts[1:], start=parts[0])


def _other_axes(value: Tensor, u: Tensor) -> list[tuple[int, int]]:
    """Lengths of all axes but the channel, in pairs."""
    return [(n, m) for i, (n, m) in enumerate(zip(value.shape, u.shape, strict=True)) if i != 1]
