"""Training on a file that is larger than the memory which it may take."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pdeops.datasets import generate, open_dataset, problem_named
from pdeops.datasets.layouts.native_file import write

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
NODES, SAMPLES, LIMIT = (257, 257), 600, 64 * 2**20  # 317 MB

CODE = """
import sys, threading, time
import torch
import pdeops

# Anonymous memory: pages of the file, which is mapped, are freed when memory is short.
torch.set_num_threads(1)
peak = 0


def watch():
    global peak
    while True:
        with open("/proc/self/status") as status:
            peak = max(peak, next(int(line.split()[1]) for line in status if "RssAnon" in line))
        time.sleep(0.005)


threading.Thread(target=watch, daemon=True).start()
file, out, samples = sys.argv[1:]
model = {"name": "FNO", "n_modes": [4, 4], "hidden_channels": 2, "n_layers": 1, "mlp_channels": 2}
data = {"train": file, "samples": int(samples), "validation": 8}
training = {"epochs": 1, "batch_size": 8}
pdeops.train(pdeops.load_recipe({"data": data, "model": model, "training": training}), out=out)
print(1024 * peak)
"""


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """Fields on a fine grid; only their size matters."""
    folder = tmp_path_factory.mktemp("large")
    problem = problem_named("darcy", "piecewise")
    generate(problem, problem.grid((17, 17)), num_samples=1, seed=0, out=folder / "small.h5")
    spec = open_dataset(folder / "small.h5").spec
    domain = problem.grid(NODES)
    spec = replace(spec, domain=domain, num_samples=SAMPLES)
    draw = torch.Generator().manual_seed(0)
    k, u = torch.rand(2, SAMPLES, *NODES, generator=draw)
    fields = dict(zip((f.name for f in spec.fields), (1 + k, u), strict=True))
    residuals = torch.zeros(SAMPLES)  # as of solved samples, or the training would refuse them
    path = write(folder / "large.h5", spec, fields, residuals=residuals)
    assert path.stat().st_size > 4 * LIMIT
    return path


def peak(file, samples, out):
    """The peak of anonymous memory of a training."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(file), str(out), str(samples)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def test_the_peak_of_memory_does_not_grow_with_the_file(large_file, tmp_path):
    few = peak(large_file, SAMPLES // 4, tmp_path / "few")  # more than is read at a time
    assert peak(large_file, SAMPLES, tmp_path / "many") < few + LIMIT
