"""`pdeops refine` and `pdeops evaluate` on the sphere: a small run on shallow water."""

import json

import h5py
import numpy as np
import pytest

from pdeops.datasets import problem_named

from .conftest import train_rollout
from .test_bad_input import refused

WINDOW_AND_LOSS = """
window = { n_in = 2, n_out = 4 }
[loss]
name = "PerChannel"
"""
MODEL = """
name = "SpatiotemporalFNO"
n_modes = [8, 16]
hidden_channels = 4
n_layers = 2
"""


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """Shallow water of degree 8 with dense frames, and an ST-FNO after one epoch."""
    problem = problem_named(
        "shallow_water",
        "random",
        degree=8,
        num_waves=4,
        viscosity=1e17,
        t_end=1.0,
        num_frames=6,
        dt=300.0,
    )
    return train_rollout(
        tmp_path_factory.mktemp("waves"),
        "waves.h5",
        problem,
        (17, 32),
        samples=2,
        model=MODEL,
        data=WINDOW_AND_LOSS,
    )


@pytest.mark.slow
def test_a_prediction_is_refined(pdeops, waves, tmp_path):
    """The error of each field is measured in its own unit, and falls with the indicator; the
    report states time stepping on four grids."""
    out = tmp_path / "refined.h5"
    done = pdeops("refine", waves / "run", "--data", waves / "waves.h5", "--out", out, "--json")
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["metric"] == "vrmse"
    figures = report["predictions"]
    before, after = figures["model"], figures["model, refined"]
    assert after["eta"][0] < before["eta"][0] / 1e3
    assert after["error"][0] < before["error"][0] / 100
    assert after["eta"][0] < 2 * report["eta_of_truth"][0]
    solver = [row for row in report["solver"] if row["completed"]]
    assert {tuple(row["grid"]) for row in solver} == {(4, 8), (7, 14), (10, 20), (13, 26)}
    errors = {tuple(row["grid"]): row["last_error"] for row in solver}
    assert errors[13, 26] < 1e-3 < errors[7, 14]
    with h5py.File(out) as file, h5py.File(waves / "waves.h5") as truth:
        for name in ("height", "vorticity", "divergence"):
            u, true = file[name][0], truth[name][0]
            assert np.array_equal(u[:2], true[:2])
            assert np.linalg.norm(u[2:] - true[2:]) < 1e-2 * np.linalg.norm(true[2:] - true[1:2])


@pytest.mark.slow
def test_zero_steps_write_what_predict_writes(pdeops, waves, tmp_path):
    for name, verb in (("a", ("predict",)), ("b", ("refine", "--steps", 0, "--samples", 2))):
        out = ("--data", waves / "waves.h5", "--out", tmp_path / f"{name}.h5")
        done = pdeops(verb[0], waves / "run", *verb[1:], *out)
        assert done.status == 0, done.stderr
    assert "indicator without a known bound" in done.stdout
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        for name in ("height", "vorticity", "divergence"):
            # Samples are predicted together or one by one; to the last bit: test_refinement.py.
            np.testing.assert_allclose(a[name][:], b[name][:], rtol=1e-5, atol=1e-11)


def test_evaluate_reports_correlation_and_spectra_by_degree(pdeops, waves):
    done = pdeops("evaluate", waves / "run", "--json")
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    assert 0 < report["correlation_time"]["0.95"]["persistence"] <= report["times"][-1]
    target = np.array(report["spectra"]["target"])  # (frame, channel, degree)
    assert report["spectra"]["channels"] == ["height", "vorticity", "divergence"]
    assert (target[..., 9:].sum(-1) < 1e-6 * target[..., 1:9].sum(-1)).all()
    assert (target[:, 1, 1:9] > 0).all()


def test_a_horizon_too_short_for_the_differences_is_refused(pdeops, waves):
    refused(
        pdeops("refine", waves / "run", "--data", waves / "waves.h5", "--frames", 2),
        "Differences of accuracy 4 need 5 frames",
    )


@pytest.mark.slow
def test_compare_sets_a_rollout_against_time_stepping(pdeops, waves):
    done = pdeops("compare", waves / "run", "--samples", 1, "--json")
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    methods = {r["method"] for r in report["rows"]}
    assert methods == {"SpatiotemporalFNO", "ETDRK4"}
    assert report["verdict"]
    assert report["floor"] < 0.05
    text = (waves / "run" / "report.md").read_text(encoding="utf-8")
    assert "vrmse at the nodes of the 17×32 grid" in text
    assert (waves / "run" / "plots" / "error_time.png").exists()
