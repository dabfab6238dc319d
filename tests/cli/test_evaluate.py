"""`pdeops evaluate` of a network inside a solver."""

import shutil

import h5py
import pytest

from .test_bad_input import refused

RECIPE = """
task = "preconditioner"
[systems]
name = "PoissonSystems"
shapes = [[12, 10]]
num_samples = 8
[model]
name = "DeepConjugate"
widths = [4, 4]
features = 4
[objective]
name = "ConjugateDirection"
[training]
epochs = 1
"""


@pytest.fixture
def solver(pdeops, tmp_path):
    """The folder of a run of one step."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    out = tmp_path / "run"
    done = pdeops("train", tmp_path / "tiny.toml", "--out", out, "--device", "cpu")
    assert done.status == 0, done.stderr
    return out


def test_of_a_run(pdeops, solver):
    done = pdeops("evaluate", solver, "--systems", 1, "--size", 8, "--json")
    assert done.status == 0, done.stderr
    report = done.json
    assert report["unknowns"] == [8, 8]
    assert report["training_seconds"] > 0
    assert set(report["methods"]) >= {"run", "multigrid", "ic0", "jacobi", "none", "sparse LU"}
    assert set(report["methods"]["none"]["break_even"]) == {"1", "10", "100"}
    shown = pdeops("evaluate", solver, "--systems", 1)
    assert "1 PoissonSystems of 12 x 10 unknowns to 1e-08, training of" in shown.stdout
    assert "| run |" in shown.stdout


def test_of_a_shipped_network(pdeops):
    done = pdeops("evaluate", "dcdm_poisson", "--systems", 1, "--size", 16, "--json")
    assert done.status == 0, done.stderr
    methods = done.json["methods"]
    assert methods["dcdm_poisson"]["iterations"] < methods["none"]["iterations"] / 3


def test_options_of_the_other_kind_of_run(pdeops, solver, workshop):
    refused(pdeops("evaluate", solver, "--data", workshop.test), "--data", "--systems")
    refused(pdeops("evaluate", workshop.run, "--systems", 3), "networks inside solvers", "--data")
    refused(pdeops("evaluate", solver, "--systems", 0), "At least one system")
    refused(pdeops("evaluate", solver, "--size", 2), "4 or more cells")
    refused(pdeops("evaluate", "dcdm_poison"), "neither a run folder", "dcdm_poisson")


def test_targets_of_zeros_are_counted(pdeops, workshop, tmp_path):
    plain = pdeops("evaluate", workshop.run, "--data", workshop.test, "--json")
    assert plain.status == 0, plain.stderr
    assert "zero everywhere" not in plain.stderr
    shutil.copy(workshop.test, tmp_path / "test.h5")
    with h5py.File(tmp_path / "test.h5", "r+") as file:
        assert file["pressure"].shape[0] == 4
        file["pressure"][:3] = 0
        file["pressure"][2, ..., 5, 5] = 1e-9  # small is not zero
    done = pdeops("evaluate", workshop.run, "--data", tmp_path / "test.h5", "--json")
    assert done.status == 0, done.stderr
    assert "2 of 4 targets are zero everywhere" in done.stderr
