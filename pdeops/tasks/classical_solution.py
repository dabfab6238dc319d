"""A resolved classical solution of a transport equation, as a reference for networks."""
# Axes: t time, c channel, d space, *space nodes.

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from ..solvers.evolution.equations.burgers import Burgers
from ..solvers.evolution.equations.transport import Transport
from ..solvers.evolution.evolve import evolve
from ..solvers.evolution.hopf_lax import hopf_lax

_COARSEST, _FINEST = 64, 4096


@dataclass(frozen=True)
class Reference:
    """A solution at the nodes of a grid.

    Attributes:
        u: at the requested times.
        text: how it was computed, and how well it is resolved.
    """

    u: Float[Tensor, "t c *space"]
    text: str


def solved(
    equation: Transport,
    u0: Callable[[Tensor], Tensor],
    nodes: int,
    times: Sequence[float],
    dt: float,
) -> Float[Tensor, "t c *space"]:
    """ETDRK4 from u0 on this many nodes per axis.

    Raises:
        ValueError: the solver stopped.
    """
    grid = equation.grid.with_shape((nodes,) * equation.grid.ndim)
    run = evolve(equation.on(grid), u0(grid.nodes()[None]), times, dt=dt, courant=0.5)
    if not run.completed:
        raise ValueError(f"The classical solver stopped: {run.reason}.")
    return run.u[0]


def classical_solution(
    equation: Transport,
    u0: Callable[[Tensor], Tensor],
    grid: Grid,
    times: Sequence[float],
    *,
    tolerance: float | int = 1e-8,
) -> Reference:
    """The solution at the nodes of `grid`, of equal numbers per axis: ETDRK4 with twice the nodes
    and half the step until u changes by less than `tolerance` in L². For the inviscid Burgers
    equation on a line, which forms shocks, it is the exact `entropy_solution`.

    Raises:
        ValueError: it does not by 4096 nodes per axis (512 in two dimensions), the solver stops, or
            u = 0; other solutions with shocks need another reference.
    """
    if is_inviscid_burgers(equation):
        return Reference(entropy_solution(u0, grid, times), "Hopf and Lax, exact")
    nodes, dt = grid.shape[0], times[-1] / 64
    while nodes < _COARSEST:
        nodes *= 2
    finest = _FINEST if grid.ndim == 1 else _FINEST // 8
    coarse = solved(equation, u0, nodes, times, dt)
    change = float("inf")
    while nodes < finest:
        nodes, dt = 2 * nodes, dt / 2
        fine = solved(equation, u0, nodes, times, dt)
        every: Any = (Ellipsis, *[slice(None, None, 2)] * grid.ndim)
        if not fine.any():
            raise ValueError(
                "The classical solution is 0 at all times, so relative errors are not defined. "
                "Choose an initial field or a source that is not 0."
            )
        change = ((fine[every] - coarse).norm() / fine[every].norm()).item()
        if change < tolerance:
            at: Any = (Ellipsis, *[slice(None, None, nodes // grid.shape[0])] * grid.ndim)
            text = (
                f"ETDRK4 with {nodes} nodes per axis and dt <= {dt:.3g} (Courant number at most "
                f"0.5); u changed by {change:.1e} from half as many nodes and twice the step"
            )
            return Reference(fine[at], text)
        coarse = fine
    raise ValueError(
        f"The classical solution changes by {change:.1e} still with {nodes} nodes per axis; "
        f"{tolerance:.1e} is needed. If it has shocks, compare with finite volumes."
    )


def is_inviscid_burgers(equation: Transport) -> bool:
    """Whether this is u_t + (u²/2)_x = 0 on a periodic line."""
    return isinstance(equation, Burgers) and equation.grid.ndim == 1 and equation.viscosity == 0


def entropy_solution(
    u0: Callable[[Tensor], Tensor], grid: Grid, times: Sequence[float], *, num_waves: int = 128
) -> Float[Tensor, "t 1 x"]:
    """The entropy solution of the inviscid Burgers equation at the nodes of a line, by `hopf_lax`.

    The antiderivative of u0 is that of its Fourier series, so u0 must have fewer waves than
    `num_waves`.

    Raises:
        ValueError: it has more, or a jump.
    """
    (L,), n = grid.extent, 2 * num_waves
    y = torch.arange(n, dtype=torch.float64) * (L / n)
    u0_hat = torch.fft.rfft(u0(y[None, None])[0, 0].double()) / n
    size = u0_hat.abs().amax().item()
    if u0_hat[-num_waves // 4 :].abs().amax() > 1e-8 * size:
        raise ValueError(
            f"The initial field needs more than {num_waves} waves, so its antiderivative is not "
            f"known well enough for Hopf's formula. Choose a smoother field."
        )
    kept = u0_hat.abs() > 1e-14 * size
    k = torch.arange(len(u0_hat), dtype=torch.float64)[kept]
    mean, c, xi = u0_hat[0].real, u0_hat[kept], 2j * math.pi / L * k
    weight = torch.where(k == 0, 0.0, 2.0)  # of conjugate pairs; the mean is linear

    def value(y: Tensor) -> Tensor:
        return mean + _sum((weight * c)[:, None], xi, y)

    def potential(y: Tensor) -> Tensor:
        return mean * y + _sum((weight * c / torch.where(k == 0, 1.0, xi))[:, None], xi, y)

    largest = value(y).abs().amax().item() * 1.01
    x = grid.nodes()[0].double()
    return torch.stack(
        [
            value(x) if t == 0 else hopf_lax(value, potential, x, t, largest=largest)[0]
            for t in times
        ]
    )[:, None]


def _sum(coefficients: Tensor, xi: Tensor, y: Tensor) -> Tensor:
    """Re Σ_k c_k exp(ξ_k y)."""
    waves = torch.exp(xi[:, None] * y.flatten())
    return (coefficients * waves).real.sum(0).view(y.shape)
