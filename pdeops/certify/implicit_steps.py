"""Implicit time steps of u_t = div(a grad u) + f from predicted states, to a guaranteed error."""
# Axes: *space nodes.

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..compare.tables import markdown_table
from ..domain import Grid
from ..estimators import InverseMajorant, SystemBounds
from ..linop import LinearOperator
from ..polish import needed, polished
from ..solvers.direct.dst import FastPoisson
from ..solvers.evolution.diagonally_implicit import IMPLICIT_EULER, DiagonallyImplicit
from ..solvers.multigrid.multigrid import Multigrid
from ..solvers.operators.boundary import with_boundary, without_boundary
from ..solvers.operators.diffusion import Diffusion
from .report import GAIN, decades

Guess = Callable[[float, Tensor], Tensor]  # (time of a stage, last state) -> the state then
Field = Tensor | float | int

CLASSICAL = ("zero", "last state", "linear extrapolation", "quadratic extrapolation")
PREDICTION = "prediction"


@dataclass(frozen=True)
class ImplicitSteps:
    """A trajectory of implicit steps, each solved to a guaranteed error.

    All errors are those against the exact solution of the discrete system, in the norm of the
    matrix A = S/(γ Δt) + L of a stage, S the cell fractions.

    Attributes:
        times, states: t_0 and the end of each step, and the states (steps + 1, *space), float64.
        tol: of the relative error of each solve.
        errors: after each step, an upper bound of the relative error that all solves so far
            have caused: against the steps with exact solves from the same initial state.
        bars: per guess and solve, the bars of conjugate gradients (`Polished.bars`).
        exact: a is a number, so that transforms give A⁻¹.
    """

    times: list[float]
    states: Float[Tensor, "frame *space"]
    tol: float
    errors: list[float]
    bars: dict[str, list[list[float]]]
    exact: bool

    def iterations(self) -> list[tuple[float, dict[str, float]]]:
        """Per tolerance, mean iterations of a solve from each guess."""
        return [
            (t, {n: statistics.fmean(needed(b, t) for b in bars) for n, bars in self.bars.items()})
            for t in decades(self.tol)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The figures."""
        return {
            "steps": len(self.errors),
            "tolerance": self.tol,
            "accumulated_error": self.errors[-1],
            "iterations": [{"tolerance": t, **row} for t, row in self.iterations()],
        }

    def to_markdown(self) -> str:
        """The same as text."""
        table, names = self.iterations(), list(self.bars)
        rows = [[f"{t:g}", *(f"{row[n]:.1f}" for n in names)] for t, row in table]
        lines = [
            f"{len(self.errors)} implicit steps, each solved to a relative error of at most "
            f"{self.tol:g} in the norm of its matrix. Guaranteed: all solves together have "
            f"changed the last state by at most {self.errors[-1]:.2e}. Mean iterations of a solve "
            f"from each first iterate:",
            "",
            markdown_table(["tolerance", *names], rows),
        ]
        if PREDICTION in names and len(names) > 1:
            lines += ["", *self._about_the_prediction(table)]
        if self.exact:
            lines += [
                "",
                "The coefficient is constant, so that transforms solve each step exactly, without "
                "iterations: a first iterate saves nothing.",
            ]
        return "\n".join(lines)

    def _about_the_prediction(self, table: list[tuple[float, dict[str, float]]]) -> list[str]:
        saved: dict[str, list[tuple[float, float]]] = {
            name: [(t, row[name] - row[PREDICTION]) for t, row in table]
            for name in self.bars
            if name != PREDICTION
        }
        best = min(saved, key=lambda name: saved[name][-1][1])
        gain = saved[best][-1][1]
        lines = [
            f"Against {best}, the best other first iterate at {self.tol:g}, the prediction saved "
            + (f"{gain:.1f} iterations of a solve." if gain >= GAIN else "no iteration.")
        ]
        as_good = []
        for name, gains in saved.items():
            tols = [f"{t:g}" for t, gain in gains if gain < GAIN]
            if tols:
                every = len(tols) == len(gains)
                as_good.append(f"{name} at {'every tolerance' if every else ', '.join(tols)}")
        if as_good:
            lines.append(f"As good a first iterate was {'; '.join(as_good)}.")
        return lines


@torch.no_grad()
def implicit_steps(
    a: Field,
    u0: Float[Tensor, "*space"],
    grid: Grid,
    *,
    dt: float | int,
    steps: int,
    tol: float,
    source: Field | Callable[[float], Field] = 0.0,
    guess: Guess | None = None,
    scheme: DiagonallyImplicit = IMPLICIT_EULER,
    compared: Sequence[str] = CLASSICAL,
    M: LinearOperator | None = None,
) -> ImplicitSteps:
    """Steps of u_t = div(a grad u) + f, u = 0 at Dirichlet ends, by finite volumes in space.

    Each stage of the scheme is a system with the matrix A = S/(γ Δt) + L (`DiagonallyImplicit`).
    Conjugate gradients solve it from the guess until the relative error in the norm of A is
    guaranteed to be at most tol (`polish.polished`, `InverseMajorant`). The errors of the solves
    add up: E_{n+1} <= ρ E_n + Σ_i κ_i ε_i, ε_i the bar of stage i, with the constants of
    `DiagonallyImplicit.growth`. For implicit Euler κ = 1 and ρ = 1/(1 + Δt λ), λ the smallest
    eigenvalue of -div(a grad .), bounded from below by that with min a.

    The other first iterates solve the same systems, for comparison only.

    Args:
        a: coefficient, at all nodes or a number; constant in time.
        u0: the state at t = 0.
        source: f, at all nodes or a number, or a function of time.
        guess: (time of the stage, last state u_n) ↦ the predicted state at that time, at all nodes;
            u_n itself if None.
        compared: of `CLASSICAL`: zero, and polynomials in time through the last one to three
            states.
        M: preconditioner of A; one cycle of multigrid by default, transforms if a is constant.

    Raises:
        ValueError: a number is not positive, a shape does not fit, a name is unknown, a guess or
            another field is not finite, or tol is not in (0, 1) or below round-off.
    """
    if not (0 < dt < math.inf and steps >= 1):
        raise ValueError(f"Steps need a finite dt > 0 and steps >= 1; got {dt} and {steps}.")
    if unknown := set(compared) - set(CLASSICAL):
        raise ValueError(f"Compare with first iterates of {CLASSICAL}; got {sorted(unknown)}.")
    c = 1 / (scheme.gamma * dt)
    a = _field(a, grid) if isinstance(a, Tensor) else a
    A, L = Diffusion(a, grid, reaction=c), Diffusion(a, grid)
    exact = A.constant is not None
    if M is None:
        M = FastPoisson.of(A) if exact else Multigrid(A)
    G = InverseMajorant(a, grid, c)
    lowest = L.bounds[0] * FastPoisson(grid).smallest_eigenvalue
    rho, *kappa = scheme.growth(1 / (1 + lowest / c))
    mass = A.cell_fractions()
    known: list[tuple[float, Tensor]] = [
        (0.0, with_boundary(without_boundary(_field(u0, grid), grid), grid))
    ]
    bars: dict[str, list[list[float]]] = {PREDICTION: []} if guess is not None else {}
    bars |= {name: [] for name in compared}
    errors: list[float] = []
    error = 0.0
    for n in range(steps):
        start, stages, new_error = known[-1][0], [known[-1][1]], rho * error
        for weights, fraction, factor in zip(scheme.combinations, scheme.times, kappa, strict=True):
            t = start + fraction * dt
            past = _combined(weights, stages)
            f = _field(source(t) if callable(source) else source, grid)
            b = c * mass * without_boundary(past, grid) + A.load(without_boundary(f, grid))
            bounds = SystemBounds(A, b, M, G, grid, math.prod(grid.spacing))
            firsts = {name: _extrapolated(known, t, CLASSICAL.index(name)) for name in compared}
            if guess is not None:
                firsts[PREDICTION] = _field(guess(t, known[-1][1]), grid)
            solves = {name: polished(bounds, first, tol) for name, first in firsts.items()}
            for name, solve in solves.items():
                bars[name].append(solve.bars)
            solved = solves.get(PREDICTION) or polished(bounds, known[-1][1], tol)
            stages.append(solved.u)
            new_error += factor * solved.error
        u = _combined(scheme.update, stages)
        error, known = new_error, [*known, (dt * (n + 1), u)]
        inner = without_boundary(u, grid)
        norm = math.sqrt(math.prod(grid.spacing) * (inner * A.apply(inner)).sum().item())
        errors.append(error / (norm - error) if norm > error else (math.inf if error else 0.0))
    states = torch.stack([u for _, u in known])
    return ImplicitSteps([t for t, _ in known], states, tol, errors, bars, exact)


def _combined(weights: Any, states: list[Tensor]) -> Tensor:
    """Σ_j w_j U_j over the states so far."""
    w = torch.as_tensor(weights[: len(states)], dtype=torch.float64)
    return torch.einsum("j,j...->...", w, torch.stack(states))


def _field(value: Field, grid: Grid) -> Tensor:
    """A field in float64 from itself or from a number."""
    if not isinstance(value, Tensor):
        return torch.full(grid.shape, float(value), dtype=torch.float64)
    if tuple(value.shape) != grid.shape:
        raise ValueError(
            f"Give coefficient, states and source at all nodes, {grid.shape}; got "
            f"{tuple(value.shape)}."
        )
    return value.detach().cpu().double()


def _extrapolated(known: list[tuple[float, Tensor]], t: float, points: int) -> Tensor | None:
    """The polynomial through the last `points` states, at time t; None without a point."""
    used = known[len(known) - min(points, len(known)) :]
    if not points:
        return None
    total = torch.zeros_like(used[0][1])
    for i, (ti, u) in enumerate(used):
        others = [tj for j, (tj, _) in enumerate(used) if j != i]
        total += math.prod((t - tj) / (ti - tj) for tj in others) * u
    return total
