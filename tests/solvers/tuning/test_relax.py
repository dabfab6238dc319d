import json
import math

import numpy as np
import pytest
import torch

from benchmarks import relax as experiment
from pdeops.domain import Grid
from pdeops.solvers import (
    SSOR,
    Binned,
    ChebCB,
    Diffusion,
    Laplacian,
    Matrix,
    Multigrid,
    Relaxation,
    SolveResult,
    TsallisINF,
    cg,
    sor,
)

ARMS = (0.0, 0.5, 1.0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(shape, seed=0):
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def play(tuner, cost, contexts):
    """What was chosen, and what it cost."""
    chosen, total = [], 0.0
    for c in contexts:
        arm = tuner.choose(c)
        tuner.observe(cost(arm, c))
        chosen.append(arm)
        total += cost(arm, c)
    return chosen, total


def test_tsallis_probabilities_are_those_of_the_book():
    """They sum to one, and K_i - 2 / (η √p_i) is the same x for every arm."""
    tuner = TsallisINF(ARMS, rng())
    assert tuner.probabilities() == pytest.approx([1 / 3] * 3)
    for _ in range(40):
        arm = tuner.choose()
        tuner.observe(10 + 20 * arm)
    p = tuner.probabilities()
    eta = 2 / math.sqrt(tuner.count + 1)
    x = tuner.losses * tuner.count / tuner.total - 2 / (eta * np.sqrt(p))
    assert p.sum() == pytest.approx(1)
    assert np.ptp(x) < 1e-8
    assert p[0] == max(p)


def test_tsallis_finds_the_best_arm_and_its_regret_per_system_shrinks():
    costs = {0.0: 30.0, 0.5: 10.0, 1.0: 20.0}
    chosen, _ = play(TsallisINF(ARMS, rng()), lambda arm, c: costs[arm], [None] * 2000)
    early, late = chosen[:200].count(0.5) / 200, chosen[-200:].count(0.5) / 200
    assert late > 0.9
    assert early < late


def test_tsallis_survives_costs_that_are_all_one():
    chosen, _ = play(TsallisINF(ARMS, rng()), lambda arm, c: 1, [None] * 60)
    assert set(chosen) == set(ARMS)


def valley(arm, c):
    """The best arm is the context."""
    return 1 + 100 * abs(arm - c)


def test_contextual_tuners_follow_the_context_where_a_fixed_arm_cannot():
    contexts = torch.rand(1500, generator=rng(1)).tolist()
    fixed = min(sum(valley(arm, c) for c in contexts) for arm in ARMS)
    best = sum(min(valley(arm, c) for arm in ARMS) for c in contexts)
    _, plain = play(TsallisINF(ARMS, rng()), valley, contexts)
    _, binned = play(
        Binned(lambda: TsallisINF(ARMS, rng()), low=0, high=1, num_bins=6), valley, contexts
    )
    _, chebyshev = play(ChebCB(ARMS, rng(), low=0, high=1), valley, contexts)
    assert plain > fixed
    assert binned < 0.85 * fixed
    assert chebyshev < 1.1 * best < 0.7 * fixed


def test_chebcb_without_a_context_that_varies_is_a_plain_bandit():
    costs = {0.0: 30.0, 0.5: 10.0, 1.0: 20.0}
    tuner = ChebCB(ARMS, rng(), low=0, high=1)
    chosen, _ = play(tuner, lambda arm, c: costs[arm], [0.3] * 300)
    assert chosen[-100:].count(0.5) >= 95
    assert all(tuner.theta @ np.cos(np.arange(6) * math.acos(-0.4)) >= 0)


def test_chebcb_learns_a_polynomial_exactly():
    """Its only arm costs 20 + 10 T_1 + 5 T_2 in the context on [-1, 1]."""
    tuner = ChebCB((1.0,), rng(), low=-1, high=1)
    grid = torch.linspace(-1, 1, 60, dtype=torch.float64).tolist()
    play(tuner, lambda arm, c: 21 + 10 * c + 5 * (2 * c * c - 1), grid)
    assert (tuner.theta[0] * tuner._scale())[:4] == pytest.approx([20, 10, 5, 0], abs=1e-2)


def test_the_same_generator_gives_the_same_choices():
    contexts = torch.rand(50, generator=rng(1)).tolist()
    runs = [play(ChebCB(ARMS, rng(5), low=0, high=1), valley, contexts)[0] for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda g: TsallisINF(ARMS, g),
        lambda g: ChebCB(ARMS, g, low=0, high=1),
        lambda g: Binned(lambda: TsallisINF(ARMS, g), low=0, high=1),
    ],
    ids=["TsallisINF", "ChebCB", "Binned"],
)
def test_a_state_continues_as_if_never_interrupted(make):
    contexts = torch.rand(60, generator=rng(1)).tolist()
    whole = play(make(rng(5)), valley, contexts)[0]
    generator = rng(5)
    first, second = make(generator), make(generator)
    before = play(first, valley, contexts[:30])[0]
    second.restore(json.loads(json.dumps(first.state())))
    assert before + play(second, valley, contexts[30:])[0] == whole
    fresh = make(generator)
    assert fresh.state() != first.state()
    with pytest.raises(ValueError, match="expected"):
        fresh.restore({"unknown": 1.0})


def test_learns_omega_of_sor_on_real_solves():
    """The table of the experiment is what `sor` itself counts, and a tuner learns from solves."""
    A = experiment.laplacian()
    shifts = np.array([-0.1, 0.3])
    b = noise((100, 2)).numpy()
    counts = experiment.iterations(shifts, b)
    operators = [Matrix(A + c * np.eye(100)) for c in shifts]
    for i in (0, 10, 18):
        for t, operator in enumerate(operators):
            result = sor(operator, torch.from_numpy(b[:, t]), omega=experiment.ARMS[i])
            assert result.iterations == counts[t, i]
    relaxation = Relaxation(TsallisINF((1.0, 1.4, 1.6), rng()))
    for _ in range(60):
        field = torch.from_numpy(b[:, 1])
        assert relaxation(lambda w: sor(operators[1], field, omega=w)).converged  # noqa: B023
    assert sum(relaxation.costs[-20:]) < sum(relaxation.costs[:20])


def stationary(A, M, b, damping):
    x, residuals = torch.zeros_like(b), [1.0]
    while 1e-8 < residuals[-1] < 1e8 and len(residuals) <= 200:
        x = x + damping * (M @ (b - A @ x))
        residuals.append(((b - A @ x).norm() / b.norm()).item())
    return SolveResult(x, residuals[-1] <= 1e-8, len(residuals) - 1, residuals, "")


@pytest.mark.parametrize(
    ("arms", "solve"),
    [
        (  # the damping θ of a multigrid cycle alone: x ← x + θ M (b - A x)
            (0.3, 0.6, 1.0, 2.5),
            lambda A, M, b, value: stationary(A, M, b, value),
        ),
        (  # ω of a preconditioner inside CG
            (0.3, 1.0, 1.6, 1.99),
            lambda A, M, b, value: cg(A, b, M=SSOR(A, value)),
        ),
    ],
    ids=["V-cycle damping", "SSOR in CG"],
)
def test_tunes_any_scalar_parameter_of_any_solver(arms, solve):
    A = Diffusion(torch.exp(0.5 * noise((33, 33))), Grid((33, 33)))
    M = Multigrid(A)
    fields = noise((60, *A.grid.shape), seed=1)
    costs = {}
    for value in arms:
        result = solve(A, M, fields[0], value)
        costs[value] = result.iterations if result.converged else math.inf
    best = min(costs, key=costs.__getitem__)
    relaxation = Relaxation(ChebCB(arms, rng(), low=0, high=1))
    chosen = []

    def solve_and_note(value, b):
        chosen.append(value)
        return solve(A, M, b, value)

    for b in fields[:40]:
        relaxation(lambda value: solve_and_note(value, b), 0.5)  # noqa: B023
    assert chosen[-10:].count(best) >= 8
    assert set(chosen) == set(arms)


def test_a_solve_that_fails_early_is_not_cheap():
    A, b = Laplacian(Grid((9, 9))), noise((7, 7))
    relaxation = Relaxation(TsallisINF((0.5,), rng()))
    relaxation(lambda value: cg(A, b))
    relaxation(lambda value: cg(A, math.nan * b))
    assert relaxation.costs[1] == 2 * relaxation.costs[0]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="needs values to choose from"):
        TsallisINF((), rng())
    for call in (ChebCB(ARMS, rng(), low=0, high=1), Binned(
        lambda: TsallisINF(ARMS, rng()), low=0, high=1
    )):  # fmt: skip
        for context in (None, math.nan):
            with pytest.raises(ValueError, match="chooses by a context"):
                call.choose(context)
    with pytest.raises(ValueError, match="low < high"):
        ChebCB(ARMS, rng(), low=1, high=1)
    with pytest.raises(ValueError, match="low < high"):
        Binned(lambda: TsallisINF(ARMS, rng()), low=0, high=1, num_bins=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variance", "optimal", "fixed"), [("high", 1.12, 0.65), ("low", 1.08, 0.80)]
)
def test_the_experiment_of_the_paper(variance, optimal, fixed):
    systems = experiment.sequence(variance)
    total = experiment.mean_total(systems, experiment.chebcb)
    assert total <= optimal * systems.instance_optimal
    assert total <= fixed * systems.best_fixed
    if variance == "high":
        plain = experiment.mean_total(systems, experiment.tsallis)
        assert plain <= systems.counts[:, 0].sum() / 3
