"""Expectations over a problem's inputs: all methods agree, quantities are those of the solution."""

import math

import numpy as np
import pytest
import torch

from pdeops.datasets import Darcy, Poisson
from pdeops.expectation import Pair, expect, multifidelity, study
from pdeops.expectation.quantities import QUANTITIES, quantity_named

from ..stand_in import run_of

POISSON = Poisson("mixed", num_modes=8)


def test_all_methods_agree():
    """On 17² nodes, with an operator that is wrong by 10 % and a ramp; against 100 solves."""
    run = run_of(POISSON)
    grid = POISSON.grid((17, 17))
    mean = QUANTITIES["mean"]
    values = []
    for i in range(100):
        x = POISSON.sample_input(grid, 5, i)
        values.append(mean(POISSON, x, POISSON.solve(x, grid).x, grid))
    truth, error = np.mean(values), np.std(values) / math.sqrt(100)
    wanted = 3 * error
    methods = ("operator", "monte-carlo", "coarse", "multilevel")
    got = expect(run, "mean", wanted, seed=7, pilot=20, methods=methods)
    assert set(got.estimates) | set(got.refused) == set(methods)
    for estimate in got.estimates.values():
        assert wanted / 2 < estimate.standard_error < 2 * wanted
        assert abs(estimate.mean - truth) < 4 * math.hypot(wanted, error)
    assert got.pairs["operator"].correlation > 0.95
    text, plain = got.to_markdown(), got.to_dict()
    for name, estimate in got.estimates.items():
        assert estimate.method in text
        assert plain["estimates"][name]["mean"] == estimate.mean
    assert "17×17 nodes, unbiased" in text
    assert all(why in text for why in got.refused.values())


def test_fluxes_through_all_sides_balance_the_source():
    problem = Darcy("piecewise", num_modes=16)
    grid = problem.grid((33, 17))
    x = problem.sample_input(grid, 0, 0)
    u = problem.solve(x, grid).x
    names = [f"flux_{side}" for side in ("left", "right", "bottom", "top")]
    through = [quantity_named(name)(problem, x, u, grid) for name in names]
    assert sum(through) == pytest.approx(1.0, rel=1e-9)
    assert min(through) > 0.05


def test_quantities_of_a_parabola():
    """-u'' = f with u = x²/2: f = -1, flux 0 out of the left side and -1 out of the right one."""
    grid = POISSON.grid((9, 9))  # u = 0 at the ends of x is not used
    x = torch.full((1, 9, 9), -1.0, dtype=torch.float64)
    u = (grid.nodes()[0] ** 2) / 2
    wanted = {"flux_left": 0.0, "flux_right": -1.0, "flux_bottom": 0.0, "flux_top": 0.0}
    for name, value in wanted.items():
        assert quantity_named(name)(POISSON, x, u, grid) == pytest.approx(value, abs=1e-12)
    assert quantity_named("mean")(POISSON, x, grid.nodes()[0], grid) == pytest.approx(0.5)


def test_a_quantity_of_ones_own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def peak(x, u, grid):\n    return u.max()\n")
    x = torch.ones(1, 5, 5)
    u = torch.arange(25.0).reshape(5, 5)
    assert quantity_named(f"{file}:peak")(POISSON, x, u, None) == 24.0
    with pytest.raises(ValueError, match=r"no function 'peek'.*Did you mean 'peak'"):
        quantity_named(f"{file}:peek")
    with pytest.raises(ValueError, match="Did you mean 'mean'"):
        quantity_named("maen")


def test_the_samples_of_the_pilot_are_not_used_again(monkeypatch):
    found = []

    def record(fine, cheap, pair, standard_error, *, first):
        found.append(first)
        return multifidelity(fine, cheap, pair, standard_error, first=first)

    monkeypatch.setattr(study, "multifidelity", record)
    monkeypatch.setattr(Pair, "relative_cost", 0.5)
    expect(run_of(POISSON), "mean", 1.0, pilot=5, methods=("operator", "coarse"))
    assert found == [5, 5]


def test_bad_input(tmp_path):
    run = run_of(POISSON, shape=(9, 9))
    with pytest.raises(ValueError, match="no training sample"):
        expect(run, "mean", 0.1, seed=0)
    with pytest.raises(ValueError, match=r"standard error must be positive and finite; got -1"):
        expect(run, "mean", -1.0)
    with pytest.raises(ValueError, match="got 'magic'"):
        expect(run, "mean", 0.1, methods=("operator", "magic"))
    with pytest.raises(ValueError, match="no coarser grid"):
        expect(run, "mean", 0.1, methods=("coarse",), pilot=3)
    with pytest.raises(ValueError, match="at least 3 samples"):
        expect(run, "mean", 0.1, pilot=2)
    with pytest.raises(ValueError, match="not be negative"):
        expect(run, "mean", 0.1, seed=-1)
    with pytest.raises(ValueError, match="at least one method"):
        expect(run, "mean", 0.1, methods=())
    file = tmp_path / "mine.py"
    file.write_text(
        "def one(x, u, grid):\n    return 1.0\n\ndef bad(x, u, grid):\n    return u.max() / 0\n"
    )
    with pytest.raises(ValueError, match=r"correlation with the solution is 0\.000"):
        expect(run, f"{file}:one", 0.1, pilot=3)
    with pytest.raises(ValueError, match="is not finite"):
        expect(run, f"{file}:bad", 0.1, pilot=3)


def test_every_method_that_was_asked_for_is_refused(monkeypatch):
    monkeypatch.setattr(Pair, "relative_cost", 1.5)
    with pytest.raises(ValueError, match=r"The operator is no help.*The solve on 9×9 is no help"):
        expect(run_of(POISSON), "mean", 1.0, pilot=3, methods=("operator", "coarse"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("u", r"of must return a real number.*got Tensor of shape \(5, 5\)"),
        ("None", "got NoneType"),
        ("1j", "got complex"),
        ("u.nope", "of raised AttributeError"),
    ],
)
def test_a_quantity_must_be_a_number(tmp_path, value, message):
    file = tmp_path / "mine.py"
    file.write_text(f"def of(x, u, grid):\n    return {value}\n")
    with pytest.raises(ValueError, match=message):
        quantity_named(f"{file}:of")(POISSON, torch.ones(1, 5, 5), torch.ones(5, 5), None)
