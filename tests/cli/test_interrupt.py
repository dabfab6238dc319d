"""Ctrl-C through the command line: status 130, a checkpoint, and a resume that changes nothing."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from .conftest import overrides

EPOCHS = 40


def start(workshop, out):
    """`pdeops train` as a process of its own, with one thread as this one: sums over two round
    differently."""
    small = overrides(workshop.folder, "model.n_modes=[8,8]", "model.dropout=0.1")
    settings = [part for pair in small for part in ("--set", pair)]
    command = [sys.executable, "-m", "pdeops.cli", "train", "fno_darcy65", *settings]
    command += ["--epochs", str(EPOCHS), "--device", "cpu", "--out", str(out)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env)


def epochs_done(folder):
    file = folder / "metrics.csv"
    return len(file.read_text().splitlines()) - 1 if file.is_file() else 0


def history(folder):
    """metrics.csv without its seconds."""
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.slow
def test_ctrl_c_and_resume_equal_an_uninterrupted_run(pdeops, workshop, tmp_path):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = start(workshop, stopped)
    while epochs_done(stopped) < 3 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 130, log
    assert "Traceback" not in log
    assert 3 <= epochs_done(stopped) < EPOCHS
    assert pdeops("evaluate", stopped).status == 0

    assert pdeops("train", "--resume", stopped, "--device", "cpu").status == 0
    process = start(workshop, whole)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert history(stopped) == history(whole)
    weights = [
        torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"]
        for run in (stopped, whole)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*(w.values() for w in weights), strict=True))
