"""Trajectories from files: one-step models and supervised windows, to the predicted file."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pdeops.cli import main
from pdeops.datasets import open_dataset
from pdeops.tasks import TASKS, evaluate, load_recipe, load_run, predict, train

ROOT = Path(__file__).resolve().parents[2]
NETWORK = {"name": "FNO", "n_modes": [8], "hidden_channels": 8, "n_layers": 2}
TRAINING = {
    "model": NETWORK,
    "optimizer": {"name": "AdamW", "lr": 1e-2},
    "training": {"epochs": 3, "batch_size": 16},
}


GENERATE = """
from pdeops.datasets import generate, problem_named
problem = problem_named("burgers", "thin", num_waves=8)
for name, number, seed in (("train", 16, 0), ("test", 4, 1)):
    generate(problem, problem.grid((32,)), num_samples=number, seed=seed, out=f"{name}.h5")
short = problem_named("burgers", "thin", num_waves=8, num_frames=2)
generate(short, short.grid((32,)), num_samples=2, seed=1, out="short.h5")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Burgers with fronts at 32 nodes, ten frames: 16 trajectories to train on, 4 to test, 2 of two
    frames.

    In a process without shape checks, which take most of the time of so small steps.
    """
    folder = tmp_path_factory.mktemp("burgers")
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *sys.path)))}
    subprocess.run([sys.executable, "-P", "-c", GENERATE], cwd=folder, env=place, check=True)
    return folder


def trained(folder, out, **tables):
    files = {"train": str(folder / "train.h5"), "test": str(folder / "test.h5"), "validation": 3}
    data = {**files, **tables.pop("data", {})}
    train(load_recipe({**TRAINING, **tables, "data": data}), out=out, device="cpu")
    return load_run(out)


def data_start(folder):
    """The first frames of the test file."""
    with h5py.File(folder / "test.h5") as data:
        return data["u"][:, 0]


def test_a_rollout_of_a_file(folder, tmp_path):
    run = trained(folder, tmp_path / "run", task="rollout")
    figures = evaluate(run)
    assert figures["relative_l2"] < 0.5 * figures["persistence"]
    assert figures["times"] == pytest.approx(np.arange(1, 11) / 10)
    out = tmp_path / "prediction.h5"
    assert predict(run, folder / "test.h5", out)["frames"] == 11
    with h5py.File(out) as written, h5py.File(folder / "test.h5") as data:
        assert written["u"].shape == data["u"].shape == (4, 11, 32)
        np.testing.assert_array_equal(written["time"][:], data["time"][:])
        np.testing.assert_array_equal(written["u"][:, 0], data["u"][:, 0])
        error = written["u"][:, 1:] - data["u"][:, 1:]
        sizes = np.linalg.norm(data["u"][:, 1:], axis=-1)
        errors = (np.linalg.norm(error, axis=-1) / sizes).mean(0)
    assert errors == pytest.approx(figures["error_at_times"], rel=1e-4)
    import xarray

    with xarray.open_dataset(out, engine="h5netcdf") as trajectory:
        assert trajectory["u"].dims == ("sample", "time", "x")
        np.testing.assert_allclose(trajectory["time"], np.arange(11) / 10)
        np.testing.assert_allclose(trajectory["x"], np.arange(32) / 32)
        assert {trajectory[name].attrs["units"] for name in ("u", "time", "x")} == {"1"}
        np.testing.assert_array_equal(trajectory["u"].sel(time=0.0), data_start(folder))
    again = open_dataset(out)
    assert again.n_out == 10
    assert "run" in again.spec.source


def test_frames_in_and_out_of_a_supervised_run(folder, tmp_path):
    """Two frames to the next three; predictions keep the frames that were given."""
    window = {"n_in": 2, "n_out": 3, "stride": 2}
    run = trained(folder, tmp_path / "run", data={"window": window})
    assert (run.n_in, run.n_out) == (2, 3)
    assert run.operator.model.model.lifting is not None
    figures = evaluate(run)
    assert figures["samples"] == 4 * 3  # windows of 9 frames in 11
    assert figures["relative_l2"] < 1
    assert figures["residual"] is None
    frames = figures["trajectory"]  # times count from the last given frame
    assert frames["times"] == pytest.approx([0.2, 0.4, 0.6])
    assert frames["samples"] == 4 * 3
    assert set(frames["diagnostics"]) == {"energy", "energy_dissipation"}
    assert "Correlation with the truth" in TASKS["supervised"].text(figures)
    out = tmp_path / "prediction.h5"
    predict(run, folder / "test.h5", out)
    with h5py.File(out) as written, h5py.File(folder / "test.h5") as data:
        np.testing.assert_allclose(written["time"][:], [0.0, 0.2, 0.4, 0.6, 0.8], atol=1e-6)
        np.testing.assert_array_equal(written["u"][:, :2], data["u"][:, [0, 2]])
    frames = open_dataset(folder / "test.h5").read([0]).input
    with pytest.raises(ValueError, match="2 frames, 1 channels, 1 space axes"):
        run(frames)


def test_a_file_with_other_frames_is_refused(folder, tmp_path):
    run = trained(folder, tmp_path / "run", training={"epochs": 1})
    short = folder / "short.h5"
    wanted = r"1 input and 10 target frame\(s\); the file gives 1 input and 2 target"
    with pytest.raises(ValueError, match=wanted):
        evaluate(run, short)
    with pytest.raises(ValueError, match=wanted):
        predict(run, short, tmp_path / "prediction.h5")
    assert not (tmp_path / "prediction.h5").exists()


def test_a_window_longer_than_the_trajectory(folder, tmp_path):
    with pytest.raises(ValueError, match=r"spans 13 frames, but a trajectory has 11"):
        trained(folder, tmp_path / "run", data={"window": {"n_in": 5, "n_out": 8}})
    assert not (tmp_path / "run").exists()


def test_symmetries_are_refused_where_the_flow_has_none(folder, tmp_path):
    with pytest.raises(ValueError, match="not symmetric"):
        trained(folder, tmp_path / "run", task="rollout", data={"symmetries": True})


@pytest.fixture
def log():
    """The log is put back as it was: the command line sends it to its own standard error."""
    logger = logging.getLogger("pdeops")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.mark.slow
def test_the_command_line_prints_errors_per_time(folder, tmp_path, capsys, monkeypatch, log):
    trained(folder, tmp_path / "run", task="rollout")

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["pdeops", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return capsys.readouterr().out

    lines = run("evaluate", tmp_path / "run", "--plot").splitlines()
    figures = sorted(p.name for p in (tmp_path / "run" / "plots").iterdir())
    assert figures == ["error_over_time.png", "film.png", "spectra.png"]
    assert "persistence" in lines[0]
    assert lines[2].startswith("relative_l2 is ‖p - t‖ / ‖t‖ in L²")
    assert lines[4].startswith("Correlation with the truth stays above 0.8 for ")
    assert lines[6].startswith("No trajectory blows up")
    assert [cell.strip() for cell in lines[8].strip("|").split("|")] == [
        "time", "relative_l2", "persistence", "correlation",
    ]  # fmt: skip
    assert lines[21].startswith("| mean over samples: model (data) at time | 0.1 | 0.5 | 1 |")
    assert [line.split("|")[1].strip() for line in lines[23:]] == ["energy", "energy dissipation"]
    report = json.loads(run("evaluate", tmp_path / "run", "--json"))
    assert lines[10].split("|")[2].strip() == f"{report['error_at_times'][0]:.4g}"
    report = json.loads(
        run("predict", tmp_path / "run", "--data", folder / "test.h5", "--out",
            tmp_path / "p.h5", "--json")
    )  # fmt: skip
    assert (report["samples"], report["frames"]) == (4, 11)
