"""Checkpoints are plain, whole or absent, and say what is wrong with a file that is none."""

import os
import resource
import signal
from collections import OrderedDict

import pytest
import torch

from pdeops.domain import Boundary
from pdeops.training import checkpoint
from pdeops.training.checkpoint import CheckpointError

STATE = {"model": OrderedDict(w=torch.arange(4.0)), "epoch": 3, "carry": {"name": "FNO", "x": None}}


def test_round_trip_without_pickles(tmp_path):
    path = tmp_path / "new folder" / "last.pt"
    checkpoint.save(path, STATE)
    state = checkpoint.load(path)
    assert torch.equal(state["model"]["w"], STATE["model"]["w"])
    assert (state["epoch"], state["carry"]) == (3, STATE["carry"])
    assert torch.load(path, weights_only=True)["format_version"] == checkpoint.FORMAT_VERSION
    assert os.listdir(path.parent) == ["last.pt"]


@pytest.mark.parametrize("thing", [Boundary.PERIODIC, {1, 2}, object(), torch.float32, b"bytes"])
def test_only_plain_data_are_written(tmp_path, thing):
    path = tmp_path / "last.pt"
    checkpoint.save(path, STATE)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"state\['carry'\]\['a'\]\[1\] is a .*plain data"):
        checkpoint.save(path, {"carry": {"a": [0, thing]}})
    with pytest.raises(ValueError, match="strings or integers"):
        checkpoint.save(path, {"carry": {(1, 2): 0}})
    assert path.read_bytes() == before


def broken(path, name):
    """Write a file that is not a checkpoint, in the named way."""
    if name == "missing":
        return
    checkpoint.save(path, STATE)
    whole = path.read_bytes()
    if name == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif name == "empty":
        path.write_bytes(b"")
    elif name == "web page":
        path.write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    elif name == "pickle inside":
        torch.save({"format": checkpoint.FORMAT, "what": object}, path)
    elif name == "other torch file":
        torch.save({"x": torch.zeros(2)}, path)
    elif name == "bare tensor":
        torch.save(torch.zeros(2), path)
    elif name == "other zip":
        import zipfile

        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.txt", "b")
    elif name == "other version":
        torch.save({**STATE, "format": checkpoint.FORMAT, "format_version": 99}, path)
    elif name == "no version":
        torch.save({**STATE, "format": checkpoint.FORMAT}, path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "There is no checkpoint"),
        ("truncated", "truncated"),
        ("empty", "not a checkpoint"),
        ("web page", "not a checkpoint"),
        ("pickle inside", "refuses it"),
        ("other torch file", "lacks the mark"),
        ("bare tensor", "lacks the mark"),
        ("other zip", "not a checkpoint"),
        ("other version", "version 99; this pdeops reads version 2"),
        ("no version", "version None; this pdeops reads version 2"),
    ],
)
def test_what_is_not_a_checkpoint_is_named(tmp_path, name, message):
    path = tmp_path / "last.pt"
    broken(path, name)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(path)


def test_a_run_without_a_validation_is_continued(tmp_path):
    checkpoint.save(tmp_path / "last.pt", STATE)
    with pytest.raises(CheckpointError, match=r"before its first validation.*--resume"):
        checkpoint.load(tmp_path / "best.pt")


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, STATE)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="an earlier one is untouched"):
            checkpoint.save(path, {"model": {"w": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.pt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_before_the_name_is_taken_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "last.pt"
    checkpoint.save(path, STATE)
    before = path.read_bytes()

    def fail(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(path, {"epoch": 4})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.pt"]
