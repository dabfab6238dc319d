"""The study of tuned multigrid on costs that are known, and on a few matrices."""

import numpy as np
import pytest

from benchmarks import amg_tuning
from benchmarks.amg_tuning import ARMS, DEFAULT, LEARNERS, LINUCB, Costs, crossed, play, ratios
from pdeops.compare.tables import read_csv


def costs(count=120):
    """The arm 0 costs 1 where the first feature is above 0, else 3, arm 1 the reverse; others 4."""
    random = np.random.default_rng(0)
    features = random.standard_normal((count, len(amg_tuning.NAMES)))
    features[:, 0] = np.sign(features[:, 0])
    products = np.full((count, len(ARMS)), 4.0)
    products[:, 0] = np.where(features[:, 0] > 0, 1, 3)
    products[:, 1] = 4 - products[:, 0]
    return Costs(features, products, 10 * products, np.ones(products.shape, dtype=bool))


def test_ratios_of_known_costs():
    table = costs()
    zero = table.products[:20, 0].sum()
    fixed = min(zero, 4 * 20 - zero)
    found = ratios(table, np.zeros(20, dtype=int))
    assert found["to_default"] == pytest.approx(zero / 80)
    assert found["to_best_fixed"] == pytest.approx(zero / fixed)
    assert found["seconds_to_default"] == pytest.approx(zero / 80)


def test_a_failure_is_charged_with_the_default_that_follows():
    table = costs(2)
    table.converged[1, 3] = False
    table.products[1, 3] = 7
    assert table.charged[1, 3] == 7 + table.products[1, DEFAULT]
    assert table.charged[0, 3] == 4


@pytest.mark.parametrize(
    ("regret", "where"), [([1, -1, 1, -1, -2], 3), ([-1, -1], 0), ([-1, 2], None), ([-1, 0], None)]
)
def test_the_crossing_is_the_last_one(regret, where):
    assert crossed(np.array(regret)) == where


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in range(1, 8))]
)
def test_a_tuner_follows_its_features_and_not_those_of_others(seed):
    """Also where the costs of the other arms hide the one that is never tried."""
    table = costs()
    late = slice(60, None)
    taken = play(LEARNERS[LINUCB], table, seed)
    assert amg_tuning.along(table.products, taken)[late].mean() < 1.3  # 1 is the best of each
    if seed == 0:
        control = play(LEARNERS["LinUCB, features of other matrices"], table, seed)
        # The best fixed one takes 2.
        assert amg_tuning.along(table.products, control)[late].mean() > 1.8


@pytest.mark.slow
def test_the_command_on_a_few_matrices(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(amg_tuning, "SIZES", (100, 200))
    few = {name: (draw, 8) for name, (draw, _) in amg_tuning.SEQUENCES.items()}
    monkeypatch.setattr(amg_tuning, "SEQUENCES", few)
    monkeypatch.setattr(amg_tuning, "EARLY", 4)
    arguments = ["amg_tuning", "--costs", str(tmp_path / "costs"), "--out", str(tmp_path)]
    for _ in range(2):  # the second time from the stored costs
        monkeypatch.setattr("sys.argv", arguments)
        amg_tuning.main()
    out = capsys.readouterr().out
    assert out.count("mixed: 1 of 1 blocks") == 1
    assert (tmp_path / "amg_tuning.png").stat().st_size > 1000
    rows = read_csv(tmp_path / "amg_tuning.csv")
    best = [float(r["to_best_fixed"]) for r in rows if r["method"] == "best for each matrix"]
    assert all(0 < value <= 1 for value in best)
