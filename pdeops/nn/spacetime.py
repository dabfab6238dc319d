"""Fields in space and time expanded in retained modes, and a convolution that acts on them.

    u(t, x) = Σ_j Σ_k û_jk p_j(t) φ_k(x)

with functions p_j on an interval of time (`chebyshev`) and the modes φ_k of a domain. The spatial
part are `Modes`: `FourierModes` on periodic boxes, `SphericalModes` on spheres, and one line in
`MODES` for another domain. Channels are the last axis.
"""
# Axes: b batch, t instants, *space nodes, j functions of time, k modes, i o c channels, p functions
# of position.

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..calculus import calculus_of
from ..domain import Boundary, Grid, Sphere
from ..kernels.spectral_conv import analyse, mix, synthesise
from . import chebyshev
from .constants import constant
from .spherical_modes import SphericalModes


@runtime_checkable
class Modes(Protocol):
    """The spatial part of the expansion: num_modes functions φ_k on every grid of a domain.

    `analysis` after `synthesis` is the identity on coefficients of real fields. A field has the
    same coefficients on every grid that resolves it.
    """

    num_modes: int
    constant: tuple[int, float]  # the function 1: its mode and the coefficient of it
    num_positions: int  # functions of position that the symmetries of the equations keep

    def analysis(self, u: Float[Tensor, "b *space c"]) -> Float[Tensor, "b two k c"]:
        """The coefficients û_k, as real pairs."""

    def synthesis(
        self, u_hat: Float[Tensor, "b two k c"], shape: Sequence[int]
    ) -> Float[Tensor, "b *space c"]:
        """Σ_k û_k φ_k at the nodes of the grid of this shape."""

    def resample(
        self, u: Float[Tensor, "*batch_space"], shape: Sequence[int]
    ) -> Float[Tensor, "*batch_new_space"]:
        """u on the grid of another shape."""

    def positions(self, shape: Sequence[int], like: Tensor) -> Float[Tensor, "*space p"]:
        """The functions of position at the nodes of the grid of this shape."""


class FourierModes:
    """Modes exp(2πi k·x/L) of a periodic box, counted as in `SpectralConv`: (24, 24) keeps 24 x 13.

    Modes that a grid does not resolve have the coefficient 0 there. Shifts keep no function of
    position but constants, so there are no `positions`.

    Raises:
        ValueError: n_modes are not even and positive, do not fit the dimension, or exceed the
            nodes of the grid; or the grid is not periodic, or its nodes are not the left ends.
    """

    num_positions = 0

    def __init__(self, grid: Grid, n_modes: Sequence[int], name: str) -> None:
        if any(b is not Boundary.PERIODIC for b in grid.boundary) or any(grid.offset):
            raise ValueError(
                f"{name} needs a periodic box with nodes i L/n; got {grid}. Use FNO, which pads "
                f"other boxes."
            )
        if len(n_modes) != grid.ndim or any(m < 2 or m % 2 for m in n_modes):
            raise ValueError(
                f"n_modes needs one even positive number per axis of the grid ({grid.ndim}); got "
                f"{tuple(n_modes)}."
            )
        if any(m > n for m, n in zip(n_modes, grid.shape, strict=True)):
            raise ValueError(
                f"n_modes {tuple(n_modes)} exceed the {grid.shape} nodes of the grid, which holds "
                f"as many modes as nodes. Use fewer modes or a finer grid."
            )
        self.grid, self.n_modes = grid, tuple(n_modes)
        self.shape = (*self.n_modes[:-1], self.n_modes[-1] // 2 + 1)
        self.num_modes = math.prod(self.shape)
        place = 0
        for m, k in zip(self.n_modes[:-1], self.shape[:-1], strict=True):
            place = place * k + m // 2
        self.constant = (place * self.shape[-1], 1.0)

    def analysis(self, u: Float[Tensor, "b *space c"]) -> Float[Tensor, "b two k c"]:
        return analyse(u, self.n_modes).flatten(2, -2)

    def synthesis(
        self, u_hat: Float[Tensor, "b two k c"], shape: Sequence[int]
    ) -> Float[Tensor, "b *space c"]:
        return synthesise(u_hat.unflatten(2, self.shape), self.n_modes, shape)

    def resample(
        self, u: Float[Tensor, "*batch_space"], shape: Sequence[int]
    ) -> Float[Tensor, "*batch_new_space"]:
        there = self.grid.with_shape(u.shape[-self.grid.ndim :])
        return u if there.shape == tuple(shape) else calculus_of(there).resample(u, shape)

    def positions(self, shape: Sequence[int], like: Tensor) -> Float[Tensor, "*space p"]:
        return like.new_zeros(*shape, 0)


# The modes of each type of domain: MODES[type(domain)](domain, n_modes, name of the model).
MODES: dict[type, Callable[..., Modes]] = {Grid: FourierModes, Sphere: SphericalModes}


class SpaceTime:
    """Expansion of fields (b, t, *space, c) in functions of time and modes of a domain.

    Coefficients have the shape (b, 2, j·k, c), time before space. Transforms run in float32 under
    autocast.
    """

    def __init__(self, modes: Modes) -> None:
        self.modes = modes

    def analysis(
        self, u: Float[Tensor, "b t *space c"], to_functions: Float[Tensor, "j t"]
    ) -> Float[Tensor, "b two jk c"]:
        """Coefficients of u from its values at instants; the matrix is that of the instants."""
        b, t = u.shape[:2]
        with torch.autocast(u.device.type, enabled=False):
            h = self.modes.analysis(u.flatten(0, 1).to(to_functions))
            h = torch.matmul(to_functions, h.reshape(b, t, -1)).view(b, -1, *h.shape[1:])
        return h.movedim(1, 2).flatten(2, 3)

    def synthesis(
        self,
        u_hat: Float[Tensor, "b two jk c"],
        at_instants: Float[Tensor, "t j"],
        shape: Sequence[int],
    ) -> Float[Tensor, "b t *space c"]:
        """Values at instants, and at the nodes of the grid of this shape."""
        b, _, _, c = u_hat.shape
        m = at_instants.shape[1]
        h = u_hat.view(b, 2, m, -1, c).movedim(2, 1)
        with torch.autocast(u_hat.device.type, enabled=False):
            h = torch.matmul(at_instants, h.reshape(b, m, -1))
            h = h.view(-1, 2, self.modes.num_modes, c)
            return self.modes.synthesis(h, shape).unflatten(0, (b, -1))

    def add_constant(
        self, u_hat: Float[Tensor, "b two jk c"], value: Float[Tensor, " c"]
    ) -> Float[Tensor, "b two jk c"]:
        """Coefficients of u + value; u_hat is overwritten."""
        mode, factor = self.modes.constant
        u_hat[:, 0, mode] += factor * value
        return u_hat


class ModeMap(nn.Module):
    """û -> W_k û_k for each mode k, plus B_k with `bias`: weights are real, (k, in, 2, out).

    The real and imaginary parts of W_k are adjacent rows, as in `SpectralConv`. Products are not
    rounded under autocast.

    Args:
        std: standard deviation of the initial weights.
        pointwise: add one real matrix for all modes, W_k = D_k + W: a map of the channels at each
            node, whose initial weights have the standard deviation `std`. Every D_k is then zero at
            first. Without W, each mode learns its own map from the samples alone.
    """

    bias: nn.Parameter | None
    pointwise: nn.Parameter | None

    def __init__(
        self,
        num_modes: int,
        in_channels: int,
        out_channels: int,
        *,
        std: float,
        bias: bool = False,
        pointwise: bool = False,
    ) -> None:
        super().__init__()
        drawn = torch.empty(num_modes, in_channels, 2, out_channels)
        self.weight = nn.Parameter(nn.init.normal_(drawn, std=0.0 if pointwise else std))
        W = torch.empty(out_channels, in_channels)
        self.pointwise = nn.Parameter(nn.init.normal_(W, std=std)) if pointwise else None
        self.bias = nn.Parameter(torch.zeros(2, num_modes, out_channels)) if bias else None

    def forward(self, u_hat: Float[Tensor, "b two k i"]) -> Float[Tensor, "b two k o"]:
        ones = u_hat.new_ones(len(self.weight))
        with torch.autocast(u_hat.device.type, enabled=False):
            v_hat = mix(u_hat, self.weight.to(u_hat), ones)
            if self.pointwise is not None:
                v_hat = v_hat + F.linear(u_hat, self.pointwise.to(u_hat))
            return v_hat if self.bias is None else v_hat + self.bias.to(v_hat)


def gauss_analysis(n: int, m: int, like: Tensor) -> Float[Tensor, "m n"]:
    """`chebyshev.analysis` as a tensor."""
    return constant(chebyshev.analysis, (n, m), like)


def gauss_values(n: int, m: int, like: Tensor) -> Float[Tensor, "n m"]:
    """The functions of time at their Gauss nodes, for every α."""
    return constant(_gauss_values, (n, m), like)


def _gauss_values(n: int, m: int) -> np.ndarray:
    interval = (-1.0, 1.0)
    return chebyshev.values(chebyshev.gauss_nodes(interval, n), interval, m)
