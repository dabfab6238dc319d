"""`torchrun -m pdeops.cli train`: several processes train as one does, and a run that is killed
continues with another number of processes."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pdeops.tasks import load_run
from pdeops.training import checkpoint

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
[data]
train = "{folder}/train.h5"
validation = 4

[model]
name = "{model}"
n_modes = [6, 6]
hidden_channels = 6
n_layers = 2

[training]
epochs = {epochs}
batch_size = 3
"""


def start(processes, *arguments):
    """`pdeops train ARGUMENTS` on this number of processes, by torchrun if there are several."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [
            *(sys.executable, *(launch if processes > 1 else [])),
            *("-m", "pdeops.cli", "train", *map(str, arguments)),
        ],
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def train(processes, *arguments):
    process = start(processes, *arguments)
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    return output


def table(run):
    """The rows of metrics.csv as numbers, without the time."""
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [[float(v) for k, v in row.items() if k != "seconds"] for row in rows]


@pytest.fixture(scope="module")
def recipe(workshop, tmp_path_factory):
    """recipe(model, epochs): a file."""
    folder = tmp_path_factory.mktemp("recipes")

    def written(model, epochs):
        text = RECIPE.format(folder=workshop.folder, model=model, epochs=epochs)
        path = folder / f"{model}-{epochs}.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.mark.parametrize(
    ("model", "processes", "settings"),
    [
        ("NeuralopTFNO", 2, []),  # its spectral weights are stored as real pairs
        ("FNO", 3, ["--set", "training.shard=true"]),
        ("FNO", 2, ["--set", "training.slabs=2"]),
        ("FNO", 4, ["--set", "training.slabs=2"]),  # two teams with a half of each batch
    ],
)
def test_processes_train_as_one_does(recipe, tmp_path, model, processes, settings):
    file = recipe(model, 3)
    if model == "NeuralopTFNO":
        settings = [*settings, "--set", "model.allow_odd=true"]
    train(1, file, "--out", tmp_path / "one", *settings)
    output = train(processes, file, "--out", tmp_path / "several", *settings)
    assert output.count("epoch 3/3") == 1, output  # one process writes and logs
    for ours, theirs in zip(table(tmp_path / "several"), table(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)  # of float32
    x = torch.randn(2, 1, 17, 17, generator=torch.Generator().manual_seed(0))
    predictions = [
        load_run(tmp_path / name, weights=weights)(x)
        for name in ("one", "several")
        for weights in ("best", "last")
    ]
    for prediction in predictions[2:]:
        assert (prediction - predictions[1]).norm() <= 1e-4 * predictions[1].norm()


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """The run on one process that every other one must equal."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(1, recipe("FNO", 40), "--out", folder)
    return table(folder)


def workers(launcher):
    """The processes that torchrun has started."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    return [
        int(pid) for pid in children if "pdeops.cli" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


def after_epochs(number, run, process):
    """Wait until a run has so many rows."""
    while process.poll() is None:
        if (run / "metrics.csv").is_file() and len(table_lines(run)) > number:
            return
        time.sleep(0.02)
    raise AssertionError(process.communicate()[0])


def table_lines(run):
    return (run / "metrics.csv").read_text().splitlines()


@pytest.mark.parametrize("settings", [[], ["--set", "training.shard=true"]])
@pytest.mark.parametrize("stop", ["one process is killed", "Ctrl-C"])
def test_a_stopped_run_continues_with_another_number(recipe, whole, tmp_path, settings, stop):
    run = tmp_path / "run"
    process = start(2, recipe("FNO", 40), "--out", run, *settings)
    after_epochs(3, run, process)
    if stop == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(workers(process)[1], signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    done = checkpoint.load(run / "checkpoints" / "last.pt")["position"]["epoch"]
    # The row of an epoch is written before its checkpoint, so the third may be missing.
    assert 2 <= done < 40, "the run ended before it was stopped: more epochs are needed"
    load_run(run)
    for processes in (1, 3):
        copy = tmp_path / str(processes)
        shutil.copytree(run, copy)
        train(processes, "--resume", copy)
        assert len(table(copy)) == 40
        for ours, theirs in zip(table(copy), whole, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3)
        kept = len(list((copy / "checkpoints").glob("*-shards-*")))
        assert kept == int(processes > 1 and bool(settings))  # weights of one process are whole
        load_run(copy, weights="last")


def test_processes_that_cannot_share_a_sample(recipe, tmp_path):
    process = start(3, recipe("FNO", 1), "--out", tmp_path / "run", "--set", "training.slabs=2")
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "does not divide the 3 processes" in output
    assert "1, 3 share" in output
    assert not (tmp_path / "run").exists()


def test_the_script_for_slurm(workshop, tmp_path):
    """The script of docs/scaling.md, with two processes in the place of GPUs, and then again: it
    resumes the run."""
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    script = page.partition("cat > job.sh <<'END'\n")[2].partition("\nEND\n")[0]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    assert "29500" in script
    (tmp_path / "job.sh").write_text(script.replace("29500", str(port)))
    text = RECIPE.format(folder=workshop.folder, model="FNO", epochs=2)
    (tmp_path / "darcy.toml").write_text(text)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("srun", 'exec "$@"'), ("scontrol", "echo localhost")):
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    slurm = {"JOB_ID": "7", "JOB_NUM_NODES": "1", "JOB_NODELIST": "x", "GPUS_ON_NODE": "2"}
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-e", "job.sh"],
            cwd=tmp_path,
            env=os.environ
            | {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            | {f"SLURM_{name}": value for name, value in slurm.items()},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "darcy-job"
    assert len(table(run)) == 2
    assert len(checkpoint.load(run / "checkpoints" / "last.pt")["rng"]) == 2  # two processes
