"""The words of the report: what a refinement gained, and what it did not."""

import math
from dataclasses import replace

import pytest
import torch

from pdeops.compare.refinement import RefinementStudy, Trial
from pdeops.compare.refinement_plot import draw
from pdeops.compare.time_stepping import SteppedRow
from pdeops.tasks.refinement import RefinedTrajectory


def solver_row(error, seconds):
    return SteppedRow("ETDRK4", (16, 16), 0.01, 10, (error,), error, seconds, True, "")


def study(error_after, stepping):
    frames = torch.zeros(1, 2, 1, 4, 4, dtype=torch.float64)
    found = RefinedTrajectory(frames[:, :1], (0.0, 0.1, 0.2), frames, frames, (), 0.1, 0.9, 1.0)
    trials = {
        "model": [Trial(1.0, 0.1, 0.2, 0.1)],
        "model, refined": [Trial(0.01, error_after, 2 * error_after, 1.0)],
    }
    return RefinementStudy(trials, [0.02], stepping, ["3 steps taken"], [found], (4, 4))


def test_time_stepping_that_is_better_is_named():
    found = study(0.01, [solver_row(0.015, 0.05), solver_row(0.5, 0.01)])
    assert found.same_error.seconds == 0.05
    assert found.same_seconds.error == 0.015
    text = found.to_markdown()
    assert "lowers the residual 100 times and the error 10 times" in text
    assert "Plain time stepping is 20 times faster at the same error" in text
    assert "3 steps taken" in text


def test_a_gain_over_time_stepping_is_named():
    text = study(0.01, [solver_row(0.015, 4.0)]).verdict()
    assert "4 times faster than plain time stepping" in text


def test_a_residual_that_falls_alone_is_no_success():
    found = study(0.15, [solver_row(math.inf, 0.05)])
    assert "but not the error (it is multiplied by 1.5)" in found.verdict()
    assert "No run of the solver that was tried reaches its error" in found.verdict()
    assert found.to_dict()["solver_of_equal_error"] is None
    assert found.median("model", "eta") == pytest.approx(1.0)


@pytest.mark.parametrize(("metric", "name"), [("relative_l2", "relative L2"), ("vrmse", "vrmse")])
def test_report_and_figure_name_the_metric(metric, name, tmp_path):
    found = study(0.01, [solver_row(0.015, 0.05)])
    after = found.trials["model, refined"]
    trials = {**found.trials, "persistence": after, "persistence, refined": after}
    found = replace(found, trials=trials, metric=metric)
    assert f"errors are {name} against" in found.to_markdown()
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        drawn = draw(found, tmp_path / "refined.svg").read_text(encoding="utf-8")
    assert f"{name} error of the last frame" in drawn
