"""Other distributions: one parameter changes, and errors are those on new samples."""

from dataclasses import replace

import pytest
import torch
import xarray

from pdeops.compare.candidates import Candidate
from pdeops.compare.sample_errors import to_netcdf
from pdeops.compare.shifted import ShiftedRow, errors_of, shifted_table
from pdeops.compare.shifts import SHIFTS, Shifted, shifted_rows, shifts_of
from pdeops.compare.tables import read_csv
from pdeops.datasets import problem_named
from tests.compare.rows import CLASSICAL, comparison, fit, net


def test_a_shift_changes_one_parameter():
    problem = problem_named("darcy", "piecewise", low=3.0)
    shifts = {s.name: s for s in shifts_of(problem)}
    assert list(shifts) == ["contrast", "correlation length"]
    assert shifts["contrast"].change == "high 12 -> 24"
    assert shifts["contrast"].problem.parameters == problem.parameters | {"high": 24.0}
    assert shifts["correlation length"].problem.parameters == problem.parameters | {"tau": 6.0}
    assert problem.parameters["high"] == 12.0


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("navier_stokes", "kolmogorov", {"viscosity", "forcing", "wavenumber"}),
        ("darcy", "multiscale", {"number of scales"}),
        ("elasticity", "void", {"correlation length", "amplitude"}),
        ("burgers", "gaussian", {"viscosity", "correlation length", "amplitude"}),
    ],
)
def test_every_problem_has_the_shifts_of_its_parameters(name, kind, expected):
    problem = problem_named(name, kind)
    shifts = shifts_of(problem)
    assert {s.name for s in shifts} == expected
    for shift in shifts:
        key = SHIFTS[shift.name][0]
        changed = shift.problem.parameters
        assert {k for k in changed if changed[k] != problem.parameters[k]} == {key}
        assert shift.change.startswith(key)


def test_a_longer_horizon_keeps_the_distance_of_the_frames():
    problem = problem_named("navier_stokes", "fno_1e-3_late")
    shift = shifts_of(problem, longer=True)[-1]
    assert shift.name == "horizon"
    times, before = shift.problem.times, problem.times
    assert times[: len(before)] == pytest.approx(before)
    assert times[-1] - times[0] == pytest.approx(2 * (before[-1] - before[0]))
    assert "horizon" not in {s.name for s in shifts_of(problem)}


class Scaled(Candidate):
    """Predicts the truth times a factor."""

    def __init__(self, factor, truth):
        self.factor, self.truth, self.errors = factor, truth, {}

    def prepare(self, indices):
        return indices

    def predict(self, indices):
        return self.factor * self.truth[indices]

    def record(self, indices, prediction, truth, norm):
        relative = norm(prediction - truth) / norm(truth)
        self.errors |= dict(zip(indices, relative.flatten().tolist(), strict=True))


FACTORS = {"net": 1.3, "solver": 1.04, "POD": 1.5}


def rows(study, names=("contrast", "horizon")):
    problem = problem_named("darcy", "piecewise")
    shifts = [replace(shifts_of(problem)[0], name=name) for name in names]
    truth = torch.rand(3, 1, 33, 33, dtype=torch.float64)

    def prepare(shift):
        if shift.name == "viscosity":
            raise ValueError("the reference did not reach the last time")
        return Shifted(
            lambda row: Scaled(FACTORS[row.method], truth), truth, problem.grid((33, 33))
        )

    return shifted_rows(study, shifts, prepare)


def test_the_errors_are_those_of_operator_surrogate_and_the_solve_of_equal_error():
    study = comparison(net(0.05, 1e-3), net(0.05, 2e-3, grid=(65, 65)), fit(0.02, 1e-4))
    found = rows(study)
    kinds = [(r.shift, r.kind) for r in found]
    assert kinds == [
        *(("contrast", kind) for kind in ("operator", "classical", "reduced")),
        *(("horizon", kind) for kind in ("operator", "classical")),
    ]
    operator, classical, surrogate = found[:3]
    assert (operator.error, operator.shifted_error) == (0.05, pytest.approx(0.3))
    assert operator.growth == pytest.approx(6)
    assert classical.method == CLASSICAL[1].label
    assert (classical.error, classical.shifted_error) == (0.03, pytest.approx(0.04))
    assert classical.opponent_of == "net"
    assert surrogate.shifted_error == pytest.approx(0.5)
    table = shifted_table(found)
    assert "| contrast | high 12 -> 24 | net on 33×33, batch 1 | 5.00 % | 30.0 % | 6 |" in table
    assert f"{CLASSICAL[1].label}, for net" in table


def test_a_shift_whose_reference_fails_is_left_out_and_named(caplog):
    study = comparison(net(0.05, 1e-3))
    assert {r.shift for r in rows(study, ("viscosity", "contrast"))} == {"contrast"}
    assert "Left out: viscosity" in study.notes[-1]
    assert "did not reach the last time" in study.notes[-1]
    assert study.notes[-1] in caplog.text


def test_the_report_has_the_shifts():
    row = ShiftedRow("contrast", "high 12 -> 24", net(0.05, 1e-3), (0.25, 0.35))
    study = comparison(net(0.05, 1e-3), shifted=[row])
    assert "### Other distributions of the inputs" in study.to_markdown()
    assert study.to_dict()["shifted"][0]["shifted_error"] == pytest.approx(0.3)
    assert "Other distributions" not in comparison(net(0.05, 1e-3)).to_markdown()


def test_every_sample_of_a_shift_is_in_the_file_of_errors(tmp_path):
    rows = [
        ShiftedRow("horizon", "t_end 1 -> 2", net(0.05, 1e-3), (0.25, 0.35), time=2.0),
        ShiftedRow("horizon", "t_end 1 -> 2", CLASSICAL[1], (0.04, 0.04), "net"),
    ]
    (found,) = errors_of(rows, {"net": 7}, "vrmse")
    to_netcdf([found], tmp_path / "errors.nc")
    with xarray.open_dataset(tmp_path / "errors.nc") as file:
        place = {"model": "net", "dataset": "horizon: t_end 1 -> 2", "resolution": "33x33"}
        values = file["vrmse"].sel(place | {"seed": 7, "time": 2.0})
        assert values.values.tolist() == [0.25, 0.35]


def test_the_lines_of_the_csv_end_with_the_shifts(tmp_path):
    rows = [
        ShiftedRow("contrast", "high 12 -> 24", net(0.05, 1e-3), (0.25, 0.35)),
        ShiftedRow("contrast", "high 12 -> 24", CLASSICAL[1], (0.04, 0.04), "net"),
    ]
    study = comparison(net(0.05, 1e-3), shifted=rows)
    lines = read_csv(study.to_csv(tmp_path / "compare.csv"))
    trained, (first, second) = lines[: len(study.rows)], lines[len(study.rows) :]
    assert {line["shift"] for line in trained} == {""}
    assert (first["shift"], first["change"]) == ("contrast", "high 12 -> 24")
    figures = [float(first[name]) for name in ("error", "error_std", "error_max")]
    assert figures == pytest.approx([0.3, 0.05, 0.35])
    assert first["label"] == trained[0]["label"]
    assert first["problem"] == "darcy"
    assert {first[name] for name in ("seconds", "front", "opponent", "iterations")} == {""}
    assert (second["method"], second["tolerance"]) == ("solver", "0.0001")
    assert second["opponent_of"] == "net"
    assert (trained[0]["opponent"], float(trained[0]["ratio"])) == (CLASSICAL[1].label, 2.5)
    assert (trained[0]["training_seconds"], trained[0]["pays_after"]) == ("90.0", "never")
    assert (trained[1]["opponent"], trained[1]["training_seconds"]) == ("", "0.0")
