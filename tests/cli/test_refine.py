"""`pdeops refine` on a small trained run: the report, the file it writes, and bad input."""

import json
import shutil

import h5py
import numpy as np
import pytest

import pdeops as package
from pdeops.datasets import problem_named
from pdeops.tasks.refinement_problem import problem_named_for, problem_solved_by

from .conftest import SMALL_FNO, train_rollout
from .test_bad_input import refused


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """Flows of McWilliams' kind with dense frames, and a one-step FNO after one epoch."""
    problem = problem_named(
        "navier_stokes",
        "mcwilliams",
        viscosity=0.02,
        num_waves=5,
        peak=2.0,
        t_end=0.08,
        num_frames=8,
        dt=0.01,
    )
    folder = tmp_path_factory.mktemp("flow")
    return train_rollout(folder, "flow.h5", problem, (16, 16), samples=3, model=SMALL_FNO)


def test_a_prediction_is_refined_and_written(pdeops, flow, tmp_path):
    out, plot = tmp_path / "refined.h5", tmp_path / "refined.png"
    arguments = ("--data", flow / "flow.h5", "--samples", 2)
    done = pdeops("refine", flow / "run", *arguments, "--out", out, "--plot", plot, "--json")
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    figures = report["predictions"]
    before, after = figures["model"], figures["model, refined"]
    assert np.all(np.array(after["eta"]) < np.array(before["eta"]) / 5)
    assert np.all(np.array(after["error"]) < np.array(before["error"]) / 2)
    assert report["solver"]
    assert plot.stat().st_size > 1000
    with h5py.File(out) as file, h5py.File(flow / "flow.h5") as truth:
        w, true = file["vorticity"][:], truth["vorticity"][:2]
    with h5py.File(out) as file:
        source, spec = file.attrs["source"], json.loads(file.attrs["spec"])
    assert source.startswith(
        "predicted by FNO, run run; refined by gauss-newton (steps=5, block=5, "
    )
    assert "accuracy=4) with the residual of navier_stokes mcwilliams (viscosity=0.02" in source
    assert spec["source"] == source
    assert w.shape == true.shape
    assert np.array_equal(w[:, 0], true[:, 0])
    error = np.linalg.norm(w[:, 1:] - true[:, 1:]) / np.linalg.norm(true[:, 1:])
    assert error == pytest.approx(np.mean(after["error"]), rel=0.2)


@pytest.mark.slow
def test_zero_steps_write_what_predict_writes(pdeops, flow, tmp_path):
    """E5, through files."""
    for name, verb in (("a", ("predict",)), ("b", ("refine", "--steps", 0, "--samples", 3))):
        out = ("--data", flow / "flow.h5", "--out", tmp_path / f"{name}.h5")
        done = pdeops(verb[0], flow / "run", *verb[1:], *out)
        assert done.status == 0, done.stderr
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert np.array_equal(a["vorticity"][:], b["vorticity"][:])
    assert "0 steps taken" in done.stdout


def foreign(path, u, **options):
    """A file of another project: its equation is not stated."""
    options = {"grid": {"boundary": "periodic", "extent": 2 * np.pi}, **options}
    package.datasets.convert({"u": u}, path, states=["u"], axes="sample,time,x,y", **options)
    return path


@pytest.mark.slow
def test_a_file_without_its_equation_needs_it(pdeops, flow, tmp_path):
    with h5py.File(flow / "flow.h5") as file:
        u, times = file["vorticity"][:], file["time"][:]
    path = foreign(tmp_path / "own.h5", u, times=times.tolist())
    refused(
        pdeops("refine", flow / "run", "--data", path),
        "states no time-dependent equation",
        "--problem navier_stokes",
        "viscosity=1e-3",
    )
    options = ("--problem", "navier_stokes", "--kind", "mcwilliams", "--set", "viscosity=0.02")
    options += ("--set", "num_waves=5", "--frames", 6, "--json")
    done = pdeops("refine", flow / "run", "--data", path, *options)
    assert done.status == 0, done.stderr
    figures = json.loads(done.stdout)["predictions"]
    assert figures["model, refined"]["eta"][0] < figures["model"]["eta"][0] / 5


@pytest.mark.slow
def test_parameters_of_the_file_are_used(pdeops, flow, tmp_path):
    """A file that states the viscosity of its flow needs no --set: the truth has the same η
    with both; the default of the kind, 0.001, has another."""
    with h5py.File(flow / "flow.h5") as file:
        u, times = file["vorticity"][:], file["time"][:].tolist()
    named = ("--problem", "navier_stokes", "--kind", "mcwilliams", "--steps", 0, "--json")
    named += ("--frames", 5)

    def run(parameters, *more):
        path = foreign(
            tmp_path / f"{len(list(tmp_path.iterdir()))}.h5", u, times=times, **parameters
        )
        return pdeops("refine", flow / "run", "--data", path, *named, *more)

    def eta(*arguments):
        done = run(*arguments)
        assert done.status == 0, done.stderr
        return json.loads(done.stdout)["eta_of_truth"][0]

    stated = {"parameters": {"viscosity": 0.02}}
    out = tmp_path / "out.h5"
    right = eta(stated, "--out", out)
    assert right == eta({}, "--set", "viscosity=0.02")
    with h5py.File(out) as file:
        spec = json.loads(file.attrs["spec"])
    assert spec["parameters"] == {"viscosity": 0.02, "drag": 0.0}
    assert spec["equation"].startswith("vorticity_t")
    refused(run(stated, "--set", "viscosity=0.03"), "viscosity = 0.02", "viscosity=0.03")


def test_samples_with_different_parameters_are_refused(tmp_path):
    u = np.random.default_rng(0).normal(size=(3, 6, 8, 8))
    data = package.datasets.open_dataset(foreign(tmp_path / "u.h5", u, times=list(range(6))))
    for viscosity in ([0.1, 0.2, 0.1], [0.1, 0.1, 0.1]):
        data.source.parameters = {"viscosity": np.array(viscosity)}
        if viscosity[1] == 0.2:
            with pytest.raises(ValueError, match=r"viscosity differs between them, 0\.1 to 0\.2"):
                problem_named_for(data, "navier_stokes", "mcwilliams")
            with pytest.raises(ValueError, match="--samples 1"):
                problem_solved_by(data, problem_named("navier_stokes", "mcwilliams"))
            data = data.subset([0, 2])
        found = problem_named_for(data, "navier_stokes", "mcwilliams")
        assert found.parameters["viscosity"] == 0.1


def test_coarse_files_need_not_hold_initial_fields(tmp_path):
    """The residual of Burgers' equation on 64 nodes, fewer than random initial fields need."""
    u = np.random.default_rng(0).normal(size=(1, 6, 64))
    options = {"states": ["u"], "axes": "sample,time,x", "times": list(range(6))}
    grid = {"boundary": "periodic"}
    package.datasets.convert({"u": u}, tmp_path / "u.h5", grid=grid, **options)
    data = package.datasets.open_dataset(tmp_path / "u.h5")
    problem = problem_named("burgers")
    assert problem_solved_by(data, problem) is problem
    with pytest.raises(ValueError, match="initial fields"):
        problem.check_grid(data.domain)
    package.datasets.convert({"u": u}, tmp_path / "v.h5", grid={**grid, "extent": 2.0}, **options)
    with pytest.raises(ValueError, match="periodic box of sides"):
        problem_solved_by(package.datasets.open_dataset(tmp_path / "v.h5"), problem)


def test_bad_input_is_refused(pdeops, flow, workshop, tmp_path):
    """Each with what to do; nothing is written."""
    with h5py.File(flow / "flow.h5") as file:
        u, times = file["vorticity"][:], file["time"][:]
    unstated = ("--problem", "navier_stokes", "--kind", "mcwilliams", "--set", "num_waves=5")
    named = (*unstated, "--set", "viscosity=0.02")
    uneven = foreign(tmp_path / "uneven.h5", u, times=(times**1.2).tolist())
    walls = foreign(tmp_path / "walls.h5", u, grid={"boundary": "dirichlet"}, times=times.tolist())
    broken = foreign(tmp_path / "nan.h5", u, times=times.tolist())
    with h5py.File(broken, "r+") as file:
        file["u"][0, 3, 2, 5] = np.nan
    unknown = tmp_path / "unknown.h5"
    shutil.copy(flow / "flow.h5", unknown)
    with h5py.File(unknown, "r+") as file:
        spec = json.loads(file.attrs["spec"])
        del spec["parameters"]["viscosity"]
        file.attrs["spec"] = json.dumps(spec)
    slow = foreign(tmp_path / "slow.h5", u, times=(2 * times).tolist())
    data = flow / "flow.h5"
    out = ("--out", tmp_path / "out.h5")
    for arguments, messages in (
        ((uneven, *named), ("not equally spaced", "Interpolate")),
        ((walls, *named), ("periodic box", "--boundary periodic")),
        ((unknown,), ("but not the viscosity", "--set viscosity=")),
        ((unknown, *unstated), ("does not state the viscosity", "--set viscosity=0.001")),
        ((broken, *named), ("not finite", "sample(s) 0")),
        ((slow, *named), ("makes steps of 0.01", "0.02 apart")),
        ((data, "--frames", 99), ("horizon lies beyond the data", "at most 8")),
        ((data, "--frames", 2), ("Differences of accuracy 4 need 5 frames", "--frames 4")),
        ((data, "--block", 3, "--steps", 0), ("Take --block 4 or more",)),
        ((data, "--block", 5, "--accuracy", 6), ("--block 6 or more or --accuracy 4",)),
        ((data, "--block", 0), ("--block 0",)),
        ((data, "--accuracy", 5), ("4 or 6; got 5",)),
        ((data, "--plot", tmp_path / "x.foo"), (".png, .pdf, .svg", ".foo")),
        ((data, "--samples", 9), ("holds 3 trajectories",)),
        ((data, "--method", "gauss-newtn"), ("Did you mean 'gauss-newton'",)),
        ((data, "--steps", -1), ("integer >= 0",)),
        ((data, "--set", "viscosity=1"), ("belong to --problem",)),
        ((data, "--problem", "darcy"), ("darcy is steady",)),
    ):
        refused(pdeops("refine", flow / "run", "--data", *arguments, *out), *messages)
        assert not (tmp_path / "out.h5").exists()
    refused(pdeops("refine", workshop.run, "--data", data), "predicts none", "rollout")
