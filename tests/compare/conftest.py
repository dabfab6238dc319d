"""A problem whose discretisation error, solver error and cost are known exactly, and a clock."""

from dataclasses import dataclass

import pytest
import torch

from pdeops.datasets.problems.problem import Problem
from pdeops.datasets.spec import Field
from pdeops.solvers.result import SolveResult


def bump(grid):
    """x (1 - x) y (1 - y): zero on the boundary, and exact under a cubic spline."""
    x, y = grid.nodes()
    return x * (1 - x) * y * (1 - y)


class Clock:
    """A clock that moves only by `advance`."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


@dataclass(frozen=True)
class Amplitude:
    """A constant field a in [1, 2)."""

    def sample(self, grid, random):
        return torch.full((1, *grid.shape), 1 + random.random(), dtype=torch.float64)


class Known(Problem):
    """u = a x(1-x) y(1-y), "solved" with the relative error C h² + rtol in h^-2 microseconds.

    Ten times as long for rtol <= 1e-6; the set-up takes a tenth of the time.
    """

    name = "known"
    equation = "u = a x (1 - x) y (1 - y)"
    fields = (Field("a", "input", "amplitude"), Field("u", "target", "solution"))
    KINDS = {"plain": Amplitude}  # noqa: RUF012

    C = 10.0

    def __init__(self, clock=None, converges=True):
        super().__init__()
        self.clock, self.converges, self.calls = clock or Clock(), converges, []

    def operator(self, x, grid):
        raise NotImplementedError

    def rhs(self, x, grid):
        raise NotImplementedError

    def solve(self, x, grid, rtol=1e-10):
        self.calls.append((grid.shape, rtol, torch.get_num_threads()))
        self.clock.advance(self.seconds(grid, rtol))
        u = x[0] * bump(grid) * (1 + self.error(grid) + rtol)
        return SolveResult(
            x=u,
            converged=self.converges,
            iterations=7,
            residuals=[1.0, rtol],
            reason="known" if self.converges else "stagnated",
        )

    def error(self, grid):
        """Relative discretisation error."""
        return self.C * grid.spacing[0] ** 2

    def seconds(self, grid, rtol):
        return (10 if rtol <= 1e-6 else 1) * 1e-6 / grid.spacing[0] ** 2


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def problem(clock):
    return Known(clock)


@pytest.fixture
def make_operator(clock):
    """Operators with relative error `error` that take start + each · batch seconds."""

    def make(error, start=1e-3, each=1e-4):
        from pdeops.domain import Grid

        def operator(x):
            clock.advance(start + each * len(x))
            grid = Grid(x.shape[2:])
            return (x.double() * bump(grid) * (1 + error)).float()

        return operator

    return make


@pytest.fixture
def drawn(monkeypatch):
    """The figures written by a test, which are not rendered."""
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: figures.append(figure))
    return figures
