"""Generation: the same file from any number of workers and after any interruption; bad input."""

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from pdeops.datasets import Darcy, Poisson, generate, open_dataset
from pdeops.datasets.generate.partial import partial_file
from pdeops.domain import Grid

GRID = Grid((9, 9))


def make(out, problem=None, grid=GRID, **arguments):
    arguments = {"num_samples": 6, "seed": 0} | arguments
    return generate(problem or Darcy(num_modes=8), grid, out=out, **arguments)


def test_what_is_stored_are_the_samples_and_their_solutions(darcy_file):
    problem, grid = Darcy(num_modes=16), Grid((17, 17))
    batch = open_dataset(darcy_file).read(range(12))
    for i in range(12):
        x = problem.sample_input(grid, 1, i)
        assert torch.equal(batch.input[i], x.float())
        y = problem.solve(x, grid, rtol=1e-12).x
        torch.testing.assert_close(batch.target[i, 0].double(), y, rtol=1e-6, atol=1e-9)


def test_the_report_says_what_was_done(tmp_path):
    done = []
    report = make(tmp_path / "a.h5", progress=done.append)
    assert report["samples"] == 6
    assert report["resumed"] == 0
    assert report["file"] == str(tmp_path / "a.h5")
    assert 0 < report["largest_residual"] <= 1e-10
    assert done[0] == 0
    assert done[-1] == 6
    assert done == sorted(done)
    assert os.listdir(tmp_path) == ["a.h5"]


def test_a_longer_file_begins_with_a_shorter_one(tmp_path):
    make(tmp_path / "short.h5", num_samples=2)
    make(tmp_path / "long.h5", num_samples=4)
    short, long = (open_dataset(tmp_path / f"{name}.h5").read([0, 1]) for name in ("short", "long"))
    assert torch.equal(short.input, long.input)
    assert torch.equal(short.target, long.target)


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes(tmp_path):
    problem, grid = Darcy(), Grid((33, 17), extent=(1.0, 0.5))
    for workers in (1, 2):
        make(tmp_path / f"{workers}.h5", problem, grid, num_samples=9, workers=workers)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from pdeops.datasets import Darcy, generate
from pdeops.domain import Grid
from pdeops.datasets.generate import partial
partial.FLUSH_SECONDS = 0.0
def progress(done):
    if done >= 2:
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    generate(Darcy(num_modes=8), Grid((9, 9)), num_samples=12, seed=0, out=Path(sys.argv[1]),
             workers=int(sys.argv[2]), progress=progress)
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_and_called_again_gives_the_same_file(tmp_path, workers):
    script, out = tmp_path / "killed.py", tmp_path / "a.h5"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(out), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    part = tmp_path / "a.h5.part"
    with h5py.File(part) as file:
        finished = np.isfinite(file["residual"][()]).sum()
    assert 2 <= finished < 12
    report = make(out, num_samples=12)
    assert report["resumed"] == finished
    assert not part.exists()
    make(tmp_path / "whole.h5", num_samples=12)
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()


def interrupt_at(count):
    def progress(done):
        if done >= count:
            raise KeyboardInterrupt

    return progress


def test_interrupted_by_ctrl_c_it_keeps_what_is_finished(tmp_path):
    out = tmp_path / "a.h5"
    with pytest.raises(KeyboardInterrupt):
        make(out, num_samples=40, progress=interrupt_at(20))
    assert make(out, num_samples=40)["resumed"] >= 20
    make(tmp_path / "whole.h5", num_samples=40)
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed: 1 here, 0 there"),
        ({"num_samples": 41}, "num_samples: 41 here, 40 there"),
        ({"dtype": "float64"}, "dtype: float64 here, float32 there"),
        ({"grid": Grid((9, 17))}, r"domain.shape: \[9, 17\] here, \[9, 9\] there"),
        ({"problem": Darcy(num_modes=8, high=4.0)}, "parameters.high: 4.0 here, 12.0 there"),
        ({"problem": Poisson()}, "name: poisson here, darcy there"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_a_partial_file_of_other_arguments_is_never_mixed_in(tmp_path, change, message):
    out = tmp_path / "a.h5"
    with pytest.raises(KeyboardInterrupt):
        make(out, num_samples=40, progress=interrupt_at(20))
    before = (tmp_path / "a.h5.part").read_bytes()
    with pytest.raises(ValueError, match=f"unfinished data set of other arguments.*{message}"):
        make(out, **({"num_samples": 40} | change))
    assert (tmp_path / "a.h5.part").read_bytes() == before


def test_a_partial_file_without_structure_is_begun_anew(tmp_path):
    """Killed while the structure was written: no sample can be in it."""
    (tmp_path / "a.h5.part").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(300))
    assert make(tmp_path / "a.h5")["resumed"] == 0


def test_two_processes_do_not_write_one_file(tmp_path):
    out, problem = tmp_path / "a.h5", Darcy(num_modes=8)
    held = partial_file(out, problem.spec(GRID, 0, 6), "float32")
    with held, pytest.raises(ValueError, match="written by another process"):
        make(out)
    assert make(out)["samples"] == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1; got 0"),
        ({"num_samples": -3}, "num_samples must be at least 1; got -3"),
        ({"workers": 0}, "workers must be at least 1; got 0"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"dtype": "int8"}, "dtype must be one of float32, float64; got 'int8'"),
        ({"grid": Grid((2, 2))}, "at least 3 nodes per axis"),
        ({"grid": Grid((8, 8), boundary="periodic")}, "store their Dirichlet boundary"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_arguments_out_of_range_write_nothing(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "a.h5", **change)
    assert os.listdir(tmp_path) == []


def test_a_finished_file_is_not_overwritten(tmp_path):
    out = tmp_path / "a.h5"
    out.write_text("precious")
    with pytest.raises(ValueError, match=r"exists already; nothing was written"):
        make(out)
    assert out.read_text() == "precious"
    assert os.listdir(tmp_path) == ["a.h5"]


class Inaccurate(Darcy):
    """A problem whose sample 3 is solved to 1e-3 only."""

    def solve(self, x, grid, rtol=1e-10):
        result = super().solve(x, grid, rtol)
        if torch.equal(x, self.sample_input(grid, 0, 3)):
            result.x *= 1.001
        return result


def test_a_solution_that_misses_the_tolerance_is_not_stored(tmp_path):
    with pytest.raises(
        ArithmeticError, match=r"Sample 3 of darcy .* = 1.0e-03 instead of 1e-10.*fewer"
    ):
        make(tmp_path / "a.h5", Inaccurate(num_modes=8))
    assert not (tmp_path / "a.h5").exists()
