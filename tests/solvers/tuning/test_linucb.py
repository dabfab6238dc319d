"""LinUCB and the estimates of Tsallis-INF against formulas and known instances."""

import numpy as np
import pytest
import torch

from pdeops.solvers import LinUCB, TsallisINF
from pdeops.solvers.tuning import linucb

ARMS = range(3)


def new(**options):
    return LinUCB(ARMS, torch.Generator(), **options)


def drawn(tuner, arm):
    """The same tuner, after a choice that fell on this arm."""
    tuner.draw = lambda probabilities: arm
    tuner.choose()
    return tuner


def test_importance_weights_are_unbiased():
    """Σ_i p_i ΔK_j(i) = c_j, where ΔK(i) is what the estimates gain if arm i is drawn."""
    costs = np.array([3.0, 8.0, 21.0])
    rounds = [0, 2, 1, 1, 0, 2]

    def played():
        tuner = TsallisINF(ARMS, torch.Generator())
        for arm in rounds:
            drawn(tuner, arm).observe(1 + costs[arm])
        return tuner

    p = played().probabilities()
    assert np.ptp(p) > 0.05  # else any weight would do
    expected = np.zeros(3)
    for arm in ARMS:
        tuner = played()
        before = tuner.losses.copy()
        drawn(tuner, arm).observe(1 + costs[arm])
        expected += p[arm] * (tuner.losses - before)
    assert expected == pytest.approx(costs)


def instance(count, seed, noise=0.05):
    """Features, and costs exp(linear in the first feature + noise), by system and arm."""
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, (count, 2))
    slopes = np.array([1.0, -1.0, 0.0])
    logs = 3 + 0.4 * x[:, :1] + slopes * x[:, :1] + np.array([0, 0, 0.2])
    return x, np.exp(logs + noise * random.standard_normal((count, 3)))


def play(x, costs, tuner=None, unit=1.0):
    tuner = tuner or new(num_features=x.shape[1])
    taken = []
    for features, row in zip(x, costs, strict=True):
        arm = int(tuner.choose(features))
        tuner.observe(unit * row[arm])
        taken.append(arm)
    return np.array(taken)


def test_the_fit_and_its_error_are_those_of_ridge_regression():
    """min Σ (y - ψ·θ)² + Σ λ_k θ_k², by stacked least squares."""
    x, costs = instance(60, 1)
    tuner = new(num_features=2)
    taken = play(x, costs, tuner)
    z = np.column_stack([np.ones(60), (x - x.mean(0)) / x.std(0)])
    design = np.zeros((60, 4, 3))
    design[:, 0] = z
    design[np.arange(60), 1 + taken] = z
    design = design.reshape(60, 12)
    penalty = np.repeat([linucb.SHARED, *[linucb.SEPARATE] * 3], 3)
    penalty[0] = 1e-6
    y = np.log(costs[np.arange(60), taken])
    whole = np.vstack([design, np.diag(np.sqrt(penalty))])
    theta, *_ = np.linalg.lstsq(whole, np.concatenate([y, np.zeros(12)]))

    at = np.array([0.3, -0.8])
    tuner.choose(at)
    psi = np.zeros((3, 4, 3))
    psi[:, 0] = psi[ARMS, np.arange(1, 4)] = [1, *(at - x.mean(0)) / x.std(0)]
    psi = psi.reshape(3, 12)
    assert np.log(tuner.expected) == pytest.approx(psi @ theta, abs=1e-6)
    left = ((y - design @ theta) ** 2).sum() + (penalty * theta**2).sum()
    variance = (linucb.TRUST * linucb.NOISE**2 + left) / (linucb.TRUST + 60)
    inverse = np.linalg.inv(whole.T @ whole)
    f, s = tuner._fit()
    error = variance * np.diag(psi @ inverse @ psi.T)
    unexplained = linucb.NOISE**2 / (1 + np.bincount(taken, minlength=3))
    assert s == pytest.approx(np.sqrt(error + unexplained), rel=1e-5)
    assert f == pytest.approx(psi @ theta, abs=1e-6)


def test_regret_on_a_linear_instance_and_with_shuffled_features():
    x, costs = instance(400, 2)
    best, fixed = costs.min(axis=1), costs.sum(axis=0).min()
    taken = play(x, costs)
    regret = costs[np.arange(400), taken] - best
    assert regret[200:].sum() < 0.25 * regret[:200].sum() + 0.01 * best.sum()
    assert costs[np.arange(400), taken].sum() < 1.05 * best.sum() < 0.8 * fixed
    # Negative control: features of other systems say nothing, and the best fixed arm is the limit.
    shuffled = play(np.random.default_rng(0).permutation(x), costs)
    assert 0.95 * fixed < costs[np.arange(400), shuffled].sum() < 1.3 * fixed


def test_units_of_costs_and_features_do_not_matter():
    x, costs = instance(80, 3)
    taken = play(x, costs)
    assert len(set(taken)) == 3
    assert (play(x, costs, unit=1e-3) == taken).all()
    mixed = 1e3 + 50 * x @ np.array([[1.0, 0.0], [0.0, 3.0]])
    assert (play(mixed, costs) == taken).all()


def test_a_feature_that_never_varies_and_costs_of_zero():
    x, costs = instance(50, 4)
    constant = np.column_stack([x, np.full(50, 7.0)])
    assert (play(constant, costs) == play(x, costs)).all()
    tuner = new(num_features=1)
    for cost in (0.0, 5.0, 0.0, 4.0):
        tuner.choose([1.0])
        tuner.observe(cost)
    assert tuner.count == 3
    assert np.isfinite(tuner.expected).all()


@pytest.mark.parametrize("context", [None, [1.0], [1.0, np.nan], [1.0, 2.0, 3.0]])
def test_other_features_are_refused(context):
    with pytest.raises(ValueError, match="chooses by 2 finite features"):
        new(num_features=2).choose(context)
