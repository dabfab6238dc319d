"""Pictures show what they are about, and the report holds together when its folder is moved."""

import csv
import math
import re
import shutil
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from pdeops.compare.comparison import Comparison
from pdeops.compare.duel import Cost, Row
from pdeops.compare.field_plots import Samples, field_panel
from pdeops.compare.figures import CLASSICAL_COLOURS, OPERATOR_COLOURS
from pdeops.compare.plots import (
    error_time,
    log_limits,
    read_metrics,
    training_curves,
)
from pdeops.compare.report import write_report
from pdeops.compare.tables import read_csv
from pdeops.domain import Grid


def row(method, kind, n, error, seconds, batch=1, tolerance=None):
    spread = {"error_std": error / 9, "error_max": 2 * error, "seconds_low": seconds}
    return Row(
        method, kind, (n, n), tolerance, batch, error, seconds=seconds, seconds_high=seconds,
        setup_seconds=None, iterations=None, converged=True, threads=1, dtype="float64", **spread,
    )  # fmt: skip


@pytest.fixture
def comparison():
    operators = [
        row(name, "operator", n, error, 1e-3 * n / 33 / batch**0.5, batch)
        for name, error in (("MgNO", 0.02), ("FNO", 0.04))
        for n in (17, 33)
        for batch in (1, 8)
    ]
    classical = [
        row("multigrid-CG", "classical", n, 3 / n**1.5 + rtol, 1e-6 * n**1.5, tolerance=rtol)
        for n in (9, 17, 33)
        for rtol in (1e-2, 1e-6)
    ]
    direct = [row("sparse direct", "classical", n, 3 / n**1.5, 1e-6 * n**2) for n in (9, 17)]
    return Comparison(
        [*operators, *classical, *direct],
        {"MgNO": Cost(60.0, 5.0), "FNO": Cost(30.0, 5.0)},
        *("darcy", (33, 33), (257, 257), 8, 1),
        context={"processor": "one"},
    )


@pytest.fixture
def metrics(tmp_path):
    """The metrics.csv of a run that validates every second epoch."""
    file = tmp_path / "metrics.csv"
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["epoch", "step", "lr", "train_loss", "relative_l2", "seconds"])
        for epoch in range(1, 21):
            validated = 0.8 * 0.9**epoch if epoch % 2 == 0 else ""
            writer.writerow([epoch, 10 * epoch, 1e-3, 0.9**epoch, validated, 2.5 * epoch])
    return file


def fields(seed=0, samples=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(samples, 17, 17, generator=generator, dtype=torch.float64)


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def count(path, colour):
    """Pixels of about this colour."""
    from matplotlib.colors import to_rgb

    return int((np.abs(pixels(path) - to_rgb(colour)).max(-1) < 0.02).sum())


def test_both_sides_are_drawn(tmp_path, comparison):
    both = error_time(comparison, tmp_path / "both.png")
    for colour in (*OPERATOR_COLOURS[:2], CLASSICAL_COLOURS[0]):
        assert count(both, colour) > 100
    alone = [r for r in comparison.rows if r.kind == "classical"]
    comparison.rows[:] = alone
    without = error_time(comparison, tmp_path / "alone.png")
    assert count(without, OPERATOR_COLOURS[0]) == 0
    assert count(without, CLASSICAL_COLOURS[0]) > 100


def test_quartiles_are_drawn_and_labels_do_not_overlap(tmp_path, comparison, drawn):
    """Of many operators at nearly the same point most labels have no place."""
    crowd = [row(f"FNO {i}", "operator", 33, 0.02, 1e-3 * 1.01**i) for i in range(9)]
    wide = replace(crowd[0], seconds_low=4e-4, seconds_high=3e-3)
    comparison.rows[:] = [wide, *crowd[1:], *comparison.rows]
    error_time(comparison, tmp_path / "crowd.png")
    (ax,) = drawn[0].axes
    bars = [
        tuple(end[0] for end in segment)
        for collection in ax.collections
        if hasattr(collection, "get_segments")
        for segment in collection.get_segments()
    ]
    assert (4e-4, 3e-3) in bars
    boxes = [text.get_window_extent() for text in ax.texts]
    assert 4 < len(boxes) < 18
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_few_runs_are_points_with_a_note(tmp_path, comparison, drawn):
    """Two runs of a kind make no frontier; a run that failed, of infinite error, has no place."""
    rows = list(comparison.rows)
    error_time(comparison, tmp_path / "many.png")
    broken = row("broken", "operator", 33, math.inf, 1e-3)
    comparison.rows[:] = [rows[0], broken, *[r for r in rows if r.kind == "classical"][:2]]
    error_time(comparison, tmp_path / "few.png")
    many, few = (figure.axes[0] for figure in drawn)
    frontiers = [[line for line in ax.lines if line.get_zorder() == 1] for ax in (many, few)]
    assert [len(lines) for lines in frontiers] == [2, 0]
    notes = [[text.get_text() for text in ax.texts] for ax in (many, few)]
    assert "two classical runs: points, no lines" in notes[1]
    assert not any("classical run" in text for text in notes[0])
    assert all(math.isfinite(limit) for limit in few.get_ylim())


def test_limits_hold_a_decade():
    low, high = log_limits([2.0, 2.0])
    assert high / low == pytest.approx(10)
    assert low < 2.0 < high
    assert log_limits([1.0, 100.0, math.inf, math.nan]) == pytest.approx((1 / 1.8, 180.0))
    low, high = log_limits([math.inf])
    assert 0 < low < high < math.inf


def test_pictures_leave_pyplot_alone(tmp_path, comparison):
    from matplotlib import rcParams

    before = dict(rcParams)
    had_pyplot = "matplotlib.pyplot" in sys.modules
    error_time(comparison, tmp_path / "picture.png")
    assert dict(rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def samples(a, u, p):
    return Samples(list(a), list(u), {"net": list(p)}, [Grid(u.shape[1:])] * len(u))


def test_a_better_prediction_has_a_darker_error(tmp_path):
    a, u = fields(0), 1 + fields(1)
    rough, exact = (
        field_panel(tmp_path / f"{name}.png", samples(a, u, p))
        for name, p in {"rough": u * 1.1, "exact": u.clone()}.items()
    )
    dark = [(pixels(path).max(-1) < 0.03).mean() for path in (exact, rough)]
    assert dark[0] > dark[1] + 0.08, "the panel of errors is black where there is none"


def test_training_curves_skip_epochs_without_validation(tmp_path, metrics):
    curves = read_metrics(metrics)
    assert np.isnan(curves["relative_l2"][0])
    assert curves["seconds"][-1] == 50.0
    path = training_curves(tmp_path / "curves.png", {"one": metrics, "two": metrics})
    assert count(path, OPERATOR_COLOURS[1]) > 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no training curve"),
        ("epoch,seconds\n", "no training curve"),
        ("a,b\n1,2\n", "'epoch'"),
    ],
)
def test_an_empty_curve_is_refused(tmp_path, text, message):
    file = tmp_path / "metrics.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        training_curves(tmp_path / "curves.png", {"one": file})


def test_an_unknown_column_is_refused(tmp_path, metrics):
    with pytest.raises(ValueError, match="'nrmse'; it has epoch"):
        training_curves(tmp_path / "curves.png", {"one": metrics}, column="nrmse")


def test_the_report_links_what_lies_beside_it(tmp_path, comparison, metrics):
    a, u = fields(0), 1 + fields(1)
    report = write_report(
        tmp_path / "made",
        title="Title",
        introduction="What was done.",
        evaluations=[{"model": "MgNO", "relative L2": 0.012345, "residual": None, "samples": 32}],
        samples=samples(a, u, u * 1.01),
        curves={"MgNO": metrics},
        comparison=comparison,
    )
    moved = tmp_path / "moved"
    shutil.move(report.parent, moved)
    text = (moved / "report.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 5
    for link in links:
        assert not link.startswith("/")
        assert (moved / link).stat().st_size > 800
    curve = read_csv(moved / "training.csv")
    assert [line["run"] for line in curve] == 20 * ["MgNO"]
    assert float(curve[1]["relative_l2"]) == pytest.approx(0.8 * 0.9**2)
    assert (curve[0]["relative_l2"], curve[0]["seconds"]) == ("", "2.5")
    page = (moved / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert set(re.findall(r'href="([^"]+)"', page)) == {"compare.csv", "training.csv"}
    assert text.startswith("# Title\n\nWhat was done.\n")
    assert "| MgNO | 0.0123 | - | 32 |" in text
    assert comparison.verdict.splitlines()[1] in text
    assert str(tmp_path) not in text
    assert sorted(p.name for p in moved.iterdir()) == [
        *("compare.csv", "plots", "report.html", "report.md", "training.csv")
    ]


def test_what_is_not_given_is_left_out(tmp_path):
    text = write_report(tmp_path, title="Bare").read_text(encoding="utf-8")
    assert text == "# Bare\n"


def test_a_table_has_one_set_of_columns(tmp_path):
    with pytest.raises(ValueError, match="same columns"):
        write_report(tmp_path, title="Bad", evaluations=[{"a": 1}, {"b": 2}])
    assert not (tmp_path / "report.md").exists()
