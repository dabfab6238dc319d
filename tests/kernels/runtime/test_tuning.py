"""The fastest candidate is measured once per device and kept on disk."""

import json
from dataclasses import dataclass

import pytest
import torch

from pdeops.kernels.runtime import tuning

CPU = torch.device("cpu")
KEY = ("kernel", torch.float32, 64)


@dataclass(frozen=True)
class Candidate:
    seconds: float


class OutOfMemoryError(Exception):
    pass


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(tuning, "_chosen", {})
    return tmp_path


class Measurement:
    """Candidates that take the seconds they name; `runs` counts calls."""

    def __init__(self, limit=10.0):
        self.runs, self.limit, self.last = 0, limit, None

    def run(self, candidate):
        if candidate.seconds > self.limit:
            raise OutOfMemoryError(candidate)
        self.runs, self.last = self.runs + 1, candidate

    def clock(self, call, device):
        call()
        return self.last.seconds

    def best(self, *seconds, key=KEY):
        candidates = [Candidate(s) for s in seconds]
        return tuning.best(
            key, candidates, self.run, CPU, too_large=(OutOfMemoryError,), clock=self.clock
        ).seconds


def test_the_fastest_is_measured_once(folder):
    measurement = Measurement()
    assert measurement.best(3.0, 1.0, 2.0) == 1.0
    assert measurement.runs == 3 * (1 + tuning.REPEATS)
    assert measurement.best(3.0, 1.0, 2.0) == 1.0
    assert measurement.runs == 3 * (1 + tuning.REPEATS)


def test_another_process_reads_the_choice(folder, monkeypatch):
    assert Measurement().best(3.0, 1.0) == 1.0
    monkeypatch.setattr(tuning, "_chosen", {})
    measurement = Measurement()
    assert measurement.best(3.0, 1.0) == 1.0
    assert measurement.runs == 0
    assert measurement.best(5.0, 4.0, key=("another",)) == 4.0
    (file,) = (folder / "tiles").iterdir()
    assert len(json.loads(file.read_text())) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"kernel torch.float32 64": "Candidate(9)"}'])
def test_a_damaged_or_old_file_is_measured_again(folder, monkeypatch, content):
    assert Measurement().best(3.0, 1.0) == 1.0
    (file,) = (folder / "tiles").iterdir()
    file.write_text(content)
    monkeypatch.setattr(tuning, "_chosen", {})
    measurement = Measurement()
    assert measurement.best(3.0, 2.0) == 2.0
    assert measurement.runs > 0


def test_a_candidate_too_large_for_the_device_is_not_chosen(folder):
    assert Measurement(limit=2.5).best(3.0, 2.0) == 2.0


def test_a_cpu_times_nothing(folder):
    measurement = Measurement()
    chosen = tuning.best(KEY, [Candidate(3.0), Candidate(1.0)], measurement.run, CPU)
    assert chosen == Candidate(3.0)
    assert measurement.runs == 0
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_reported(folder, caplog):
    (folder / "tiles").write_text("a file")
    assert Measurement().best(3.0, 1.0) == 1.0
    assert "not kept" in caplog.text
