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
import sys
import torch
import pdeops

torch.set_num_threads(1)
model = {"name": "FNO", "n_modes": [4, 4], "hidden_channels": 2, "n_layers": 1, "mlp_channels": 2}


def train(samples, out):
    data = {"train": sys.argv[1], "samples": samples, "validation": 8}
    training = {"epochs": 1, "batch_size": 8}
    pdeops.train(pdeops.load_recipe({"data": data, "model": model, "training": training}), out=out)


def peak():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if "VmHWM" in line)


train(40, sys.argv[2] + "/few")
before = peak()
train(int(sys.argv[3]), sys.argv[2] + "/many")
print(peak() - before)
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
    path = write(folder / "large.h5", spec, fields)
    assert path.stat().st_size > 4 * LIMIT
    return path


def test_the_peak_of_memory_does_not_grow_with_the_file(large_file, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(large_file), str(tmp_path), str(SAMPLES)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < LIMIT
