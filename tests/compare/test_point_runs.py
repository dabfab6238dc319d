"""Comparison on points: operators against finite elements on coarser meshes."""

from dataclasses import replace

import numpy as np
import pytest

from pdeops.compare import compare_points
from pdeops.compare.duel import Cost
from pdeops.compare.point_candidates import solve_point_truth
from pdeops.compare.point_comparison import most_accurate_within
from pdeops.compare.point_runs import point_study
from pdeops.compare.timing import Clock
from pdeops.datasets import generate, problem_named
from pdeops.tasks import load_recipe, load_run, train

pytest.importorskip("skfem")
SMALL = {"around": 24, "across": 3, "num_waves": 3}
OPTIONS = {"repeats": 1, "batch_sizes": (1, 2), "scales": (1 / 2, 1.0), "reference_factor": 3}


@pytest.fixture(scope="module")
def problem():
    return problem_named("elasticity", **SMALL)


@pytest.fixture(scope="module")
def truth(problem):
    return solve_point_truth(problem, (72, 9), seed=5, num_samples=2)


@pytest.fixture(scope="module")
def study(problem, truth):
    """An operator that returns the truth times a factor, and one that is not finite."""

    def scaled(batch):
        places = [
            int((truth.samples.positions == p).all((1, 2)).nonzero()) for p in batch.positions
        ]
        return 1.05 * truth.fields[places]

    operators = {"scaled": scaled, "broken": lambda batch: scaled(batch) / 0}
    costs = {"scaled": Cost(60.0, 1.0)}
    clock = Clock(rest=0.0)
    given = {"truth": truth, "num_samples": 2, "seed": 5, **OPTIONS}
    return point_study(operators, problem, costs=costs, clock=clock, **given)


def rows_of(study, method):
    return [r for r in study.rows if r.method == method]


def test_errors_of_operators_are_those_at_the_points(study):
    assert all(r.error == pytest.approx(0.05, rel=1e-6) for r in rows_of(study, "scaled"))
    assert all(r.error == float("inf") for r in rows_of(study, "broken"))
    assert {r.batch for r in rows_of(study, "scaled")} == {1, 2}
    assert rows_of(study, "scaled")[0].label == "scaled on 96 points, batch 1"


def test_errors_of_elements_fall_with_the_mesh_and_the_order(study):
    errors = {(r.method, r.grid): r.error for r in study.rows if r.kind == "classical"}
    assert {g for _, g in errors} == {(12, 2), (24, 3)}
    for method in ("linear elements", "quadratic elements"):
        assert errors[method, (24, 3)] < errors[method, (12, 2)]
    for cells in ((12, 2), (24, 3)):
        assert errors["quadratic elements", cells] < errors["linear elements", cells]
    assert study.data_error < errors["quadratic elements", (24, 3)] / 2


def test_the_weights_count(study, truth):
    """The error of a row is the weighted mean of its samples; corners have no part in it."""
    quadratic = next(r for r in rows_of(study, "quadratic elements") if r.grid == (24, 3))
    problem = problem_named("elasticity", **SMALL)
    errors = []
    for i in range(2):
        u = problem.solve(problem.void(5, i), (24, 3)).x
        w, true = truth.samples.weights[i], truth.fields[i, 0]
        errors.append(((w @ (u - true) ** 2) / (w @ true**2)).sqrt().item())
    assert quadratic.error == pytest.approx(np.mean(errors), rel=1e-9)


def test_opponents_at_equal_error_and_at_equal_seconds(study):
    for duel in study.duels("scaled"):
        rivals = [r for r in study.rows if r.kind == "classical" and r.error <= duel.operator.error]
        assert duel.opponent == min(rivals, key=lambda r: r.seconds, default=None)
    for row, other in study.within_seconds("scaled"):
        quick = [r for r in study.rows if r.kind == "classical" and r.seconds <= row.seconds]
        assert other == min(quick, key=lambda r: r.error, default=None)
    row = study.within_seconds("scaled")[0][0]
    quick = [replace(r, seconds=1e-9) if r.kind == "classical" else r for r in study.rows]
    plain = replace(study, rows=quick).to_dict()["within_seconds"][0]
    best = min(r.error for r in quick if r.kind == "classical")
    assert plain["ratio_of_errors"] == pytest.approx(row.error / best)


def test_most_accurate_within_some_seconds(study):
    """Of the classical rows that are as fast, that with the smallest error; none if none is."""
    row = replace(rows_of(study, "scaled")[0], seconds=1.0)
    pairs = zip((0.5, 0.9, 2.0), study.rows[-3:], strict=True)
    classical = [replace(r, seconds=s) for s, r in pairs]
    assert most_accurate_within(row, classical) == min(classical[:2], key=lambda r: r.error)
    batched = replace(classical[0], batch=row.batch + 1, error=0.0)  # is of more problems at once
    assert most_accurate_within(row, [*classical, batched]).error > 0
    assert most_accurate_within(replace(row, seconds=0.1), classical) is None


@pytest.mark.parametrize("scales", [(2.0,), (0.0, 1.0), ()])
def test_arguments_out_of_range(problem, scales):
    with pytest.raises(ValueError, match=r"scales in \(0, 1\]"):
        point_study({}, problem, seed=0, scales=scales)


def test_a_trained_run_becomes_a_report(problem, tmp_path):
    data = tmp_path / "train.h5"
    generate(problem, problem.grid(), num_samples=8, seed=0, out=data)
    values = {
        "data.train": str(data),
        "data.validation": 2,
        "model.hidden_channels": 8,
        "model.n_modes": [4, 4],
        "model.latent_shape": [16, 16],
        "model.levels": 2,
        "training.epochs": 1,
    }
    settings = [f"{key}={value!r}" for key, value in values.items()]
    train(load_recipe("pointlsm_elasticity", settings), out=tmp_path / "run", device="cpu")
    run = load_run(tmp_path / "run")
    comparison = compare_points(
        {"PointLSM": run},
        folder=tmp_path / "report",
        num_samples=2,
        clock=Clock(rest=0.0),
        **OPTIONS,
    )
    assert comparison.seed != run.spec.seed
    assert comparison.costs["PointLSM"].unknown == []
    assert all(0.01 < r.error < 3 for r in rows_of(comparison, "PointLSM"))
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert all(f"**{line}**" in text for line in comparison.verdict.splitlines())
    assert "The most accurate solve in no more seconds" in text
    for picture in ("error_time", "fields", "training"):
        assert (tmp_path / "report" / "plots" / f"{picture}.png").stat().st_size > 10_000
    plain = comparison.to_dict()
    assert plain["data_error"] == comparison.data_error
    assert len(plain["within_seconds"]) == 2
