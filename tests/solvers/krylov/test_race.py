"""The race keeps its bound for any network, told by a clock that only the operators move."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.linop import LinearOperator
from pdeops.solvers import (
    Diffusion,
    FastPoisson,
    Laplacian,
    Multigrid,
    cg,
    deep_conjugate_direction,
    flexible_cg,
)
from pdeops.solvers.krylov.flexible_cg import FlexibleCG
from pdeops.solvers.krylov.race import RaceResult, _Runner, race


class Clock:
    """Seconds that pass only where somebody says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Timed(LinearOperator):
    """An operator whose products take `cost` seconds on a clock."""

    def __init__(self, operator, clock, cost):
        self.operator, self.clock, self.cost, self.grid = operator, clock, cost, operator.grid
        self.symmetric, self.semidefinite = operator.symmetric, operator.semidefinite
        self.positive_definite = operator.positive_definite

    def apply(self, u):
        self.clock.now += self.cost
        return self.operator.apply(u)

    def project(self, b):
        return self.operator.project(b)


class UselessError(Exception):
    """What a network of the tests raises."""


def raises(r):
    raise UselessError("no GPU left")


class Second:
    """Of no use at first, exact from then on."""

    def __init__(self):
        self.calls = 0

    def __call__(self, r):
        self.calls += 1
        return EXACT.apply(r) if self.calls > 1 else torch.zeros_like(r)


GRID = Grid((34, 30))
EXACT = FastPoisson(GRID)
NETWORKS = {
    "nan": lambda r: torch.full_like(r, torch.nan),
    "zero": torch.zeros_like,
    "constant": torch.ones_like,
    "minus r": torch.neg,
    "identity": lambda r: r,
    "rough": lambda r: r * torch.sin(1e4 * r),
    "late": lambda r: EXACT.apply(r) if r.norm() < 1e-3 else torch.ones_like(r),
    "raises": raises,
    "exact": EXACT.apply,
}


class Racing:
    """One system, a network and the classical solver, each step with its price."""

    def __init__(self, network, net_cost, cycle_cost=3.0):
        self.clock, self.net_cost = Clock(), net_cost
        plain = Laplacian(GRID)
        self.A = Timed(plain, self.clock, 1.0)
        self.safeguard = Timed(Multigrid(plain), self.clock, cycle_cost)
        generator = torch.Generator().manual_seed(1)
        self.b = torch.randn(plain.grid.shape, generator=generator, dtype=torch.float64)
        self.network = network

    def net(self, r):
        self.clock.now += self.net_cost
        return self.network(r)

    def alone(self, rtol):
        begin = self.clock.now
        assert cg(self.A, self.b, M=self.safeguard, rtol=rtol).converged
        return self.clock.now - begin

    def run(self, rtol=1e-8, **options):
        begin = self.clock.now
        result = race(
            directions, self.A, self.b, M=self.net, safeguard=self.safeguard, rtol=rtol,
            clock=self.clock, **options,
        )  # fmt: skip
        return result, self.clock.now - begin


def directions(A, M, x, r, columns):
    return FlexibleCG(A, M, x, r, columns, directions=2)


@pytest.mark.parametrize("net_cost", [0.0, 0.5, 7.0, 40.0, 1e4])
@pytest.mark.parametrize("name", NETWORKS)
def test_at_most_twice_the_classical_time_and_one_application_of_the_network(name, net_cost):
    racing = Racing(NETWORKS[name], net_cost)
    for rtol in (1e-1, 1e-8):
        alone = racing.alone(rtol)
        result, seconds = racing.run(rtol)
        assert result.converged
        assert (racing.b - racing.A.operator @ result.x).norm() <= 1.01 * rtol * racing.b.norm()
        assert seconds <= 2 * alone + net_cost
        assert result.learned.seconds + result.safeguard.seconds == pytest.approx(seconds)
        assert result.winner in (result.learned, result.safeguard)
        assert result.winner.iterations == result.iterations


def test_torch_works_alone_but_after_heavy_steps():
    torch.set_num_threads(3)
    clock, found = Clock(), []

    def run():
        for seconds in (0.0, 1.0, 0.0, 0.0):
            found.append(torch.get_num_threads())
            clock.now += seconds
            yield

    runner = _Runner("learned", run(), clock, light=0.5)
    for _ in range(4):
        runner.advance()
    assert found == [1, 1, 3, 1]
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("rtol", [1e-4, 1e-10])
def test_not_much_more_than_twice_the_learned_time(rtol):
    racing = Racing(EXACT.apply, net_cost=2.0)
    result, seconds = racing.run(rtol)
    assert result.winner is result.learned
    assert seconds <= 2.25 * result.learned.seconds + 3 * (1.0 + 3.0)


def test_a_good_network_wins_and_a_slow_one_does_not():
    fast, _ = Racing(EXACT.apply, net_cost=4.0).run()
    assert fast.winner is fast.learned
    assert fast.iterations == 1
    assert fast.safeguard.reason == "the other side was first"
    assert fast.safeguard.iterations <= 3
    assert "learned won (learned: 1 iterations" in fast.reason
    assert str(fast).startswith("RaceResult(converged, 1 iterations, ")
    slow, _ = Racing(NETWORKS["identity"], net_cost=10.0).run()
    assert slow.winner is slow.safeguard
    assert "safeguard won" in slow.reason


def test_a_network_that_raises_is_named():
    result, _ = Racing(raises, 1.0).run()
    assert result.winner is result.safeguard
    assert result.learned.reason == "UselessError: no GPU left"
    assert "the learned side failed with UselessError: no GPU left" in result.reason


def test_what_the_user_interrupts_is_not_swallowed():
    def interrupted(r):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Racing(interrupted, 1.0).run()


def test_an_error_of_the_classical_side_is_not_swallowed():
    racing = Racing(torch.neg, 1.0)
    racing.safeguard.operator = None
    with pytest.raises(AttributeError):
        racing.run()


def test_the_iterates_are_those_of_each_side_alone():
    """Taking turns changes nothing: both sides walk as they would alone, bit for bit."""
    slow, fast = (Racing(torch.clone, net_cost=1.0, cycle_cost=c) for c in (1.0, 100.0))
    for racing, winner, alone in (
        (slow, "safeguard", cg(slow.A, slow.b, M=slow.safeguard)),
        (fast, "learned", flexible_cg(fast.A, fast.b, M=torch.clone, directions=2)),
    ):
        result, _ = racing.run()
        assert result.winner.name == winner
        assert torch.equal(result.x, alone.x)
        assert result.residuals == alone.residuals


def test_the_learned_side_goes_on_where_the_classical_one_gives_up():
    racing = Racing(NETWORKS["late"], net_cost=1.0)
    result, _ = racing.run(max_iterations=2, rtol=1e-12)
    assert not result.converged
    assert result.winner is None
    assert "neither converged" in result.reason
    assert result.residual == min(
        cg(racing.A, racing.b, M=racing.safeguard, max_iterations=2, rtol=1e-12).residual,
        flexible_cg(
            racing.A, racing.b, M=NETWORKS["late"], directions=2, max_iterations=2, rtol=1e-12
        ).residual,
    )
    racing = Racing(Second(), net_cost=100.0)
    result, _ = racing.run(max_iterations=3)
    assert result.winner is result.learned
    assert "max_iterations" in result.safeguard.reason


def test_a_guess_serves_both():
    racing = Racing(raises, 1.0)
    x = cg(racing.A, racing.b, M=racing.safeguard, rtol=1e-9).x
    result, _ = racing.run(x0=x, rtol=1e-8)
    assert result.converged
    assert result.iterations == 0


@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
def test_b_that_is_not_finite_ends_it_at_once(spoil):
    racing = Racing(EXACT.apply, 1.0)
    racing.b[3, 4] = spoil
    result, seconds = racing.run()
    assert not result.converged
    assert result.winner is None
    assert "NaN or infinity" in result.reason
    assert seconds == 0


def test_a_system_without_solution_ends_with_its_projection():
    A = Laplacian(Grid((20, 17), boundary="neumann"))
    b = torch.rand(A.grid.shape, generator=torch.Generator().manual_seed(0)).double()
    clock = Clock()

    def slow(r):
        clock.now += 1e3
        return torch.ones_like(r)

    result = race(directions, A, b, M=slow, safeguard=Multigrid(A), rtol=1e-9, clock=clock)
    assert not result.converged
    assert result.winner is None
    assert "inconsistent" in result.reason
    assert A.project(b - A @ result.x).norm() < 1e-8 * b.norm()
    assert clock.now <= 1e3


def test_a_batch_races_as_one(generator):
    grid = Grid((20, 21))
    A = Diffusion(torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.5, grid)
    b = torch.randn(3, *A.grid.shape, generator=generator, dtype=torch.float64)
    result = race(directions, A, b, M=torch.neg, safeguard=Multigrid(A))
    assert result.converged
    assert len(result.columns) == 3
    assert result.x.shape == b.shape


def test_what_does_not_fit_is_refused():
    racing = Racing(EXACT.apply, 1.0)
    with pytest.raises(ValueError, match="b must have the shape"):
        race(directions, racing.A, racing.b[1:], M=torch.neg, safeguard=racing.safeguard)
    racing.safeguard.positive_definite = False
    racing.safeguard.semidefinite = False
    with pytest.raises(ValueError, match="positive definite M"):
        racing.run()


@pytest.mark.parametrize("method", ["cg", "flexible_cg", "deep_conjugate_direction"])
def test_each_method_takes_a_safeguard(method, generator):
    A = Diffusion(torch.rand(GRID.shape, generator=generator, dtype=torch.float64) + 0.2, GRID)
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    call = {
        "cg": lambda **more: cg(A, b, M=FastPoisson(GRID), **more),
        "flexible_cg": lambda **more: flexible_cg(A, b, M=torch.zeros_like, **more),
        "deep_conjugate_direction": lambda **more: deep_conjugate_direction(
            A, b, torch.nn.Conv2d(1, 1, 3, padding=1), **more
        ),
    }[method]
    result = call(safeguard=Multigrid(A), rtol=1e-9)
    assert isinstance(result, RaceResult)
    assert result.converged
    assert result.winner.seconds > 0
    assert not isinstance(call(rtol=1e-9), RaceResult)
