"""The scaling model on paper: its counts by hand, its limits, and the docs page that quotes it."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.bench import RESULTS
from benchmarks.scaling import Layout, Machine, Model
from pdeops.domain import Grid
from pdeops.models.operators.fno import FNO

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"


def test_parameters_are_those_of_the_spectral_weights():
    model = Model(d=3, n=16, c=3, m=4, L=2)
    fno = FNO(1, 1, Grid((16,) * 3), n_modes=(4,) * 3, hidden_channels=3, n_layers=2)
    assert model.num_parameters == sum(K.weight.numel() for K in fno.convolutions)


def test_one_process_sends_nothing():
    found = scaling.step(scaling.PLANE, Layout(1, 16), Machine())
    assert found["step_s"] == found["compute_s"] > 0


def test_bytes_of_slabs_by_hand():
    """Two processes, 8 rows each: 4 modes of the first axis are fewer, 12 are more."""
    for m, rows in ((4, 4), (12, 8)):
        model = Model(d=2, n=16, c=5, m=m, L=3)
        numbers = 2 * 1 * rows * (m // 2 + 1) * 5
        assert scaling.slab_bytes(model, Layout(2, 1, 2)) == 3 * 4 * numbers * 4 / 2


def test_work_divides_and_exchanges_do_not():
    whole = scaling.compute_seconds(scaling.CUBE, Layout(1, 1), Machine())
    part = scaling.compute_seconds(scaling.CUBE, Layout(8, 1, 8), Machine())
    assert 1 / 8 < part / whole < 1.05 / 8  # AdamW takes the whole step on each
    slow = replace(Machine(), between=Machine().between / 10)
    inside, outside = (Layout(P, 16) for P in (8, 64))
    for layout, same in ((inside, True), (outside, False)):
        a, b = (scaling.step(scaling.PLANE, layout, m)["gradients_s"] for m in (Machine(), slow))
        assert (a == b) is same


def test_divided_weights_fit_where_copies_do_not():
    copies, divided = (
        scaling.memory_bytes(scaling.WIDE, Layout(64, 4, shard=s)) for s in (False, True)
    )
    assert divided < Machine().capacity < copies


def test_the_page_and_the_file_hold_the_table():
    table = list(scaling.rows(Machine()))
    assert scaling.markdown(table) in PAGE.read_text(encoding="utf-8")
    with open(RESULTS / "scaling.csv", newline="") as file:
        stored = [float(row["step_s"]) for row in csv.DictReader(file)]
    assert stored == pytest.approx([row["step_s"] for row in table], rel=1e-3)


def test_processes_sent_the_bytes_that_are_counted():
    """The committed measurements."""
    with open(RESULTS / "scaling_cpu.csv", newline="") as file:
        measured = list(csv.DictReader(file))
    assert {row["processes"] for row in measured} == {"1", "2", "4"}
    shared = [row for row in measured if "slabs" in row["study"] and row["processes"] != "1"]
    assert len(shared) == 2
    for row in shared:
        assert row["modes_bytes_sent"] == row["modes_bytes_counted"] != "0"
