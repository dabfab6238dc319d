"""A resolved classical solution of a transport equation, as a reference for networks."""
# Axes: t time, c channel, d space, *space nodes.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from ..solvers.evolution.equations.transport import Transport
from ..solvers.evolution.evolve import evolve

_COARSEST, _FINEST = 64, 4096


@dataclass(frozen=True)
class Reference:
    """A solution at the nodes of a grid.

    Attributes:
        u: at the requested times.
        nodes: nodes per axis of the solver.
        dt: its largest time step.
        change: relative change of u in L² from half as many nodes and twice the step.
    """

    u: Float[Tensor, "t c *space"]
    nodes: int
    dt: float
    change: float

    @property
    def text(self) -> str:
        """The reference in words."""
        return (
            f"ETDRK4 with {self.nodes} nodes per axis and dt <= {self.dt:.3g} (Courant number at "
            f"most 0.5); u changed by {self.change:.1e} from half as many nodes and twice the step"
        )


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
    and half the step until u changes by less than `tolerance` in L².

    Raises:
        ValueError: it does not by 4096 nodes per axis (512 in two dimensions), the solver stops, or
            u = 0; a solution with shocks needs another reference (`hopf_lax`, finite volumes).
    """
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
            return Reference(fine[at], nodes, dt, change)
        coarse = fine
    raise ValueError(
        f"The classical solution changes by {change:.1e} still with {nodes} nodes per axis; "
        f"{tolerance:.1e} is needed. If it has shocks, compare with hopf_lax or finite volumes."
    )
