"""Bad input: a clear message, exit status not 0, no traceback, nothing half-written or lost."""

import resource
import shutil
import signal
import subprocess
import sys

import h5py
import pytest
import torch

GENERATE = ("data", "generate", "darcy", "--kind", "piecewise", "--resolution", "17", "--seed", "0")


def refused(done, *words):
    """The command failed as an error of the user's, and its message has these words."""
    assert done.status not in (0, None), done.stdout
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def settings(workshop, *more):
    pairs = (f"data.train={workshop.train}", "data.validation=2", "model.hidden_channels=4", *more)
    return [part for pair in pairs for part in ("--set", pair)]


def train(pdeops, workshop, out, *more):
    small = ("model.n_modes=[8,8]", *more)
    arguments = settings(workshop, *small)
    return pdeops("train", "fno_darcy65", *arguments, "--epochs", 1, "--out", out)


@pytest.fixture
def broken(workshop, tmp_path):
    """Data files that are none, by name."""
    html = tmp_path / "html.h5"
    html.write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    truncated = tmp_path / "truncated.h5"
    whole = workshop.train.read_bytes()
    truncated.write_bytes(whole[: len(whole) // 2])
    nan = tmp_path / "nan.h5"
    shutil.copy(workshop.train, nan)
    with h5py.File(nan, "r+") as file:
        file["pressure"][3, 4, 5] = float("nan")
    return {"html": html, "truncated": truncated, "nan": nan, "missing": tmp_path / "missing.h5"}


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("missing", ["missing.h5"]),
        ("html", ["html.h5", "HTML"]),
        ("truncated", ["truncated"]),
        ("nan", ["nan.h5", "pressure", "3"]),
    ],
)
def test_bad_training_file(pdeops, workshop, broken, tmp_path, which, words):
    out = tmp_path / "run"
    refused(train(pdeops, workshop, out, f"data.train={broken[which]}"), *words)
    assert not out.exists()


@pytest.mark.parametrize("which", ["missing", "html", "truncated"])
def test_bad_file_to_evaluate_predict_or_inspect(pdeops, workshop, broken, tmp_path, which):
    name = f"{which}.h5"
    refused(pdeops("evaluate", workshop.run, "--data", broken[which]), name)
    out = tmp_path / "prediction.h5"
    refused(pdeops("predict", workshop.run, "--data", broken[which], "--out", out), name)
    assert not out.exists()
    refused(pdeops("data", "inspect", broken[which]), name)


def test_wrong_shapes_between_train_and_test(pdeops, workshop, tmp_path):
    other = tmp_path / "other.pt"
    torch.save({"x": torch.randn(4, 2, 16, 16) > 0, "y": torch.ones(4, 1, 16, 16)}, other)
    out = tmp_path / "run"
    refused(train(pdeops, workshop, out, f"data.test={other}"), "other.pt", "channels")
    assert not out.exists()
    refused(pdeops("evaluate", workshop.run, "--data", other), "channel")


def test_another_resolution_is_asked_for_not_slipped_in(pdeops, workshop, tmp_path):
    """A recipe's test file has the training grid; `evaluate --data` takes any resolution."""
    fine = tmp_path / "fine.h5"
    arguments = ("--samples", 2, "--resolution", 33, "--seed", 1, "--out", fine)
    assert pdeops("data", "generate", "darcy", *arguments).status == 0
    out = tmp_path / "run"
    refused(train(pdeops, workshop, out, f"data.test={fine}"), "fine.h5", "resolution")
    assert not out.exists()
    assert pdeops("evaluate", workshop.run, "--data", fine, "--json").json["samples"] == 2


def test_unknown_recipe(pdeops):
    refused(pdeops("train", "mgno_darcy56"), "mgno_darcy56", "mgno_darcy65")


def test_unknown_key(pdeops, workshop, tmp_path):
    done = train(pdeops, workshop, tmp_path / "run", "optimizer.learningrate=1")
    refused(done, "learningrate", "lr")
    done = train(pdeops, workshop, tmp_path / "run", "trainin.epochs=1")
    refused(done, "trainin", "training")


def test_unknown_kind_and_problem(pdeops, tmp_path):
    out = tmp_path / "d.h5"
    arguments = ("--samples", 2, "--resolution", 17, "--out", out)
    refused(pdeops("data", "generate", "darcy", "--kind", "picewise", *arguments), "piecewise")
    refused(pdeops("data", "generate", "darci", *arguments), "darcy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("samples", [0, -3])
def test_no_samples(pdeops, tmp_path, samples):
    refused(pdeops(*GENERATE, "--samples", samples, "--out", tmp_path / "d.h5"), "samples")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("resolution", ["2", "abc", "17,17,17", "0"])
def test_bad_resolution(pdeops, tmp_path, resolution):
    arguments = ("--samples", 2, "--resolution", resolution, "--out", tmp_path / "d.h5")
    refused(pdeops("data", "generate", "darcy", *arguments))
    assert not list(tmp_path.iterdir())


def test_existing_data_are_not_overwritten(pdeops, workshop):
    before = workshop.train.read_bytes()
    refused(pdeops(*GENERATE, "--samples", 2, "--out", workshop.train), "exists")
    assert workshop.train.read_bytes() == before


def test_checkpoint_of_another_format(pdeops, workshop, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(workshop.run, run)
    file = run / "checkpoints" / "best.pt"
    state = torch.load(file, weights_only=True)
    torch.save({**state, "format_version": 99}, file)
    refused(pdeops("evaluate", run), "99", "format")


def test_modes_larger_than_the_grid(pdeops, workshop, tmp_path):
    out = tmp_path / "run"
    refused(train(pdeops, workshop, out, "model.n_modes=[64,64]"), "64", "mode")
    assert not out.exists()


def test_output_folder_that_holds_a_run(pdeops, workshop):
    before = (workshop.run / "metrics.csv").read_bytes()
    refused(train(pdeops, workshop, workshop.run), "already holds a run", "--resume")
    assert (workshop.run / "metrics.csv").read_bytes() == before


def test_a_folder_without_a_run(pdeops, tmp_path):
    for verb in (("evaluate",), ("compare",), ("train", "--resume")):
        refused(pdeops(*verb, tmp_path), "no run")


def test_resume_takes_nothing_else(pdeops, workshop):
    refused(pdeops("train", "fno_darcy65", "--resume", workshop.run), "--resume")


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(pdeops, workshop, tmp_path):
    out = tmp_path / "run"
    done = train(pdeops, workshop, out, "optimizer.lr=1e30", "training.batch_size=5")
    refused(done, "not finite", "epoch 1")
    assert not out.exists()


def test_full_disk_while_training(workshop, tmp_path):
    """No checkpoint fits: a clear error, and no folder that claims to hold a run."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "pdeops.cli", "train", "fno_darcy65", "--epochs", "1"]
    command += [*settings(workshop, "model.n_modes=[8,8]"), "--out", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=restrict_files_to(9000)
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Could not write the checkpoint" in done.stderr
    assert not out.exists()


def restrict_files_to(num_bytes):
    """The file-size limit plays the full disk; SIGXFSZ would kill, a clear error is wanted."""

    def restrict():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    return restrict


def test_full_disk_while_generating(tmp_path):
    out = tmp_path / "d.h5"
    command = [sys.executable, "-m", "pdeops.cli", *GENERATE, "--samples", "400", "--out", str(out)]
    full = restrict_files_to(200_000)
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=full, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr
    assert not out.exists()
