"""Estimates of a known expectation: unbiased, of the stated error, and of the predicted cost."""

import math
import time
from functools import cache

import numpy as np
import pytest

from pdeops.expectation import Pair, Sampler, monte_carlo, multifidelity, multilevel
from pdeops.expectation.estimates import Estimate, StandardError, aim

MEAN, DEVIATION = 3.0, 2.0


@cache
def normals(seed, block):
    """Eight numbers for each of 256 samples."""
    return np.random.default_rng((seed, block)).standard_normal((256, 8))


def drawn(index, noise, *, seed=0, seconds=0.0):
    """3 + 2 z + noise w, z and w of the sample alone; bias of half the noise."""

    def evaluate(indices):
        end = time.perf_counter() + seconds * len(indices)
        values = []
        for i in indices:
            z = normals(seed, i // 256)[i % 256]
            values.append(MEAN + DEVIATION * z[0] + noise * (0.5 + z[1 + index]))
        while time.perf_counter() < end:
            pass
        return np.array(values)

    return evaluate


def fine(seed=0):
    return Sampler("fine", drawn(0, 0.0, seed=seed))


def known_pair(noise, c=0.01):
    """What an endless pilot run would find."""
    rho = DEVIATION / math.hypot(DEVIATION, noise)
    return Pair(DEVIATION, rho, rho * DEVIATION / math.hypot(DEVIATION, noise), 1.0, c)


def test_sizes_and_costs_are_the_published_ones():
    """N and M of Peherstorfer, Willcox and Gunzburger; the cost against every other choice of M."""
    pair = known_pair(1.0, c=0.01)
    rho, c = pair.correlation, 0.01
    assert pair.relative_cost == pytest.approx((math.sqrt(1 - rho**2) + math.sqrt(c) * rho) ** 2)
    n, m = pair.sizes(0.01)
    variance = DEVIATION**2 * (1 / n - (1 / n - 1 / m) * rho**2)
    assert math.sqrt(variance) == pytest.approx(0.01, rel=1e-3)
    cost = lambda r: (1 - (1 - 1 / r) * rho**2) * (1 + c * r)  # noqa: E731
    assert min(cost(r) for r in np.linspace(1, 100, 500)) >= pair.relative_cost * (1 - 1e-9)
    assert (n + c * m) / (DEVIATION / 0.01) ** 2 == pytest.approx(pair.relative_cost, rel=1e-3)
    few, many = known_pair(0.01, c=1e-6).sizes(1.0)
    assert (few, many) == (10, 10), "the least number of solves leaves g nothing to do"
    useless = Pair(1.0, 0.3, 0.3, 1.0, 0.5)
    assert useless.relative_cost > 1


@pytest.mark.parametrize("method", ["monte carlo", "multifidelity", "multilevel"])
def test_error_and_coverage_over_two_hundred_repetitions(method):
    """The deviation of the estimates is the stated standard error; 95 % intervals contain the mean
    in 95 % of all cases; the cheap quantities are biased and do not matter."""
    wanted, found = 0.2, []
    for seed in range(200):
        if method == "monte carlo":
            found.append(monte_carlo(fine(seed), wanted, pilot=20))
        elif method == "multifidelity":
            cheap = Sampler("cheap", drawn(0, 1.0, seed=seed))
            found.append(multifidelity(fine(seed), cheap, known_pair(1.0), wanted, first=50))
        else:
            levels = [Sampler(f"level {k}", drawn(k, 0.5**k, seed=seed)) for k in range(3)]
            found.append(multilevel([*levels, fine(seed)], wanted, pilot=10))
    errors = np.array([e.mean for e in found]) - MEAN
    stated = np.array([e.standard_error for e in found])
    assert 0.8 * wanted < stated.mean() <= wanted
    assert abs(errors.mean()) < 2.5 * errors.std() / math.sqrt(200)
    assert np.sqrt((errors**2).mean()) == pytest.approx(np.sqrt((stated**2).mean()), rel=0.12)
    covered = np.mean([e.interval[0] <= MEAN <= e.interval[1] for e in found])
    assert abs(covered - 0.95) < 2.5 * math.sqrt(0.95 * 0.05 / 200)


def test_few_samples_widen_the_interval():
    """Student's t with 9 degrees of freedom has its 97.5 % point at 2.2622; of equal terms the
    degrees add, and those of a dominant term remain."""
    ten = StandardError.of((4.0, 10))
    assert (ten.value, ten.freedom) == pytest.approx((math.sqrt(0.4), 9.0))
    low, high = Estimate("ten samples", 1.0, ten).interval
    assert (low + high) / 2 == pytest.approx(1.0)
    assert (high - low) / 2 == pytest.approx(2.2622 * math.sqrt(0.4), rel=1e-4)
    assert StandardError.of((4.0, 10), (4.0, 10)).freedom == pytest.approx(18.0)
    assert StandardError.of((4.0, 10), (1e-9, 1000)).freedom == pytest.approx(9.0)
    found = [monte_carlo(fine(seed), 10.0, pilot=10) for seed in range(400)]
    assert {e.counts["fine"] for e in found} == {10}
    missed = np.mean([not e.interval[0] <= MEAN <= e.interval[1] for e in found])
    assert abs(missed - 0.05) < 2.5 * math.sqrt(0.05 * 0.95 / 400)


def test_plans_and_seconds_at_another_standard_error():
    """Student's 97.5 % points of 4 and 19 degrees of freedom are 2.7764 and 2.0930; half the error
    takes four times the samples, and the same pilot run."""
    assert aim(0.1, 5) == pytest.approx(0.1 * 1.95996 / 2.7764, rel=1e-4)
    assert aim(0.1, 20) == pytest.approx(0.1 * 1.95996 / 2.0930, rel=1e-4)
    assert aim(0.1, math.inf) == pytest.approx(0.1)
    exact, measured = (Pair(2.0, 0.9, 0.9, 1.0, 0.01, pilot=n) for n in (math.inf, 5))
    ratio = measured.sizes(0.01)[0] / exact.sizes(0.01)[0]
    assert ratio == pytest.approx((2.7764 / 1.95996) ** 2, rel=1e-3)
    found = Estimate("samples", 1.0, StandardError(0.2, 30.0), seconds=3.0, pilot_seconds=1.0)
    assert found.seconds_at(0.2) == 4.0
    assert found.seconds_at(0.1) == pytest.approx(13.0)


def test_skewed_samples_do_not_bias_the_mean():
    """Exponential samples: the mean and the variance of the same samples are correlated, so that
    numbers of samples that depend on them would give a mean that is too small, by 5 % here."""
    found = []
    for seed in range(2000):
        draws = np.random.default_rng(seed).exponential(size=4000)
        found.append(monte_carlo(Sampler("fine", lambda i, d=draws: d[list(i)]), 0.25, pilot=20))
    means = np.array([e.mean for e in found])
    assert abs(means.mean() - 1) < 3 * means.std() / math.sqrt(2000)
    reached = math.sqrt(np.mean([e.standard_error**2 for e in found]))
    assert reached == pytest.approx(0.25, rel=0.15)


def test_a_good_control_variate_needs_few_solves():
    plain = monte_carlo(fine(), 0.1, pilot=20)
    cheap = Sampler("cheap", drawn(0, 0.1))
    better = multifidelity(fine(), cheap, known_pair(0.1, c=1e-3), 0.1, first=20)
    assert better.counts["fine"] < plain.counts["fine"] / 20
    assert better.counts["cheap"] > better.counts["fine"]


def recorded(sampler):
    """The sampler, and the list of the samples of each of its calls."""
    calls, evaluate = [], sampler._evaluate

    def record(indices):
        calls.append(set(indices))
        return evaluate(indices)

    sampler._evaluate = record
    return sampler, calls


def test_no_sample_is_used_twice():
    """Neither those of the pilot run, nor those of another level."""
    plain, calls = recorded(fine())
    monte_carlo(plain, 0.3, pilot=20)
    assert len(calls[0]) == 20
    assert len(set().union(*calls)) == sum(map(len, calls))
    coarse, low = recorded(Sampler("coarse", drawn(0, 0.1)))
    top, high = recorded(Sampler("fine", drawn(0, 0.0, seconds=1e-3)))
    multilevel([coarse, top], 0.3, pilot=10)
    assert low[0] == high[0] == set(range(10))
    pairs = set().union(*high[1:])
    alone = set().union(*(call for call in low[1:] if not call <= pairs))
    assert pairs
    assert alone
    assert not (pairs | set(range(10))) & alone
    assert not pairs & set(range(10))


def test_multilevel_sizes_are_of_least_cost():
    """N_0 / N_1 = (V_0 C_1 / (V_1 C_0))^½; a solve on the fine level also needs the coarse one."""
    coarse = Sampler("coarse", drawn(0, 0.3, seconds=2e-4))
    top = Sampler("fine", drawn(0, 0.0, seconds=2e-3))
    counts = multilevel([coarse, top], 0.1, pilot=200).counts
    expected = math.sqrt((DEVIATION**2 + 0.09) / 0.09 * 2.2e-3 / 2e-4)
    assert counts["coarse"] / counts["fine"] == pytest.approx(expected, rel=0.3)


def test_multilevel_leaves_out_levels_that_do_not_pay():
    """The coarsest is as expensive as the finest."""
    dear = Sampler("dear", drawn(3, 0.5, seconds=1e-3))
    middle = Sampler("middle", drawn(2, 0.1))
    got = multilevel([dear, middle, Sampler("fine", drawn(0, 0.0, seconds=2e-4))], 0.3, pilot=5)
    assert "dear" not in got.counts


def test_the_pilot_measures_the_pair():
    f = Sampler("fine", drawn(0, 0.0, seconds=1e-3))
    g = Sampler("cheap", drawn(0, 1.0, seconds=1e-4))
    pair = Pair.measured(f, g, 0, 400)
    exact = known_pair(1.0)
    assert pair.correlation == pytest.approx(exact.correlation, abs=0.02)
    assert pair.coefficient == pytest.approx(exact.coefficient, abs=0.05)
    assert pair.deviation == pytest.approx(DEVIATION, rel=0.1)
    assert pair.cheap_cost / pair.cost < 0.5
    assert (f.count, g.count) == (400, 400)


def test_bad_input():
    constant = Sampler("constant", lambda indices: np.ones(len(indices)))
    with pytest.raises(ValueError, match="positive"):
        monte_carlo(fine(), 0.0)
    with pytest.raises(ValueError, match=r"1\.\d\d times the seconds of Monte Carlo"):
        multifidelity(fine(), fine(), Pair(1.0, 0.1, 0.1, 1.0, 0.5), 0.1)
    with pytest.raises(ValueError, match="no help"):
        multifidelity(fine(), constant, Pair.measured(fine(), constant, 0, 10), 0.1)
    with pytest.raises(ValueError, match="at least one level"):
        multilevel([], 0.1)
    nan = Sampler("broken", lambda i: np.where(np.array(i) == 7, np.nan, 1.0))
    with pytest.raises(ValueError, match="sample 7 by broken is not finite"):
        monte_carlo(nan, 0.1)
    assert monte_carlo(constant, 0.1, pilot=5).standard_error == 0
