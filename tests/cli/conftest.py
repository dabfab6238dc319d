"""The command line, run in this process; and one small trained run that the verbs can act on."""

import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.cli import main
from pdeops.domain import Grid
from pdeops.solvers import Diffusion


@dataclass
class Done:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self):
        return json.loads(self.stdout)


@pytest.fixture
def pdeops(monkeypatch, capfd):
    """Run `pdeops ARGUMENTS` in this process; the log is put back as it was."""
    logger = logging.getLogger("pdeops")
    before = (logger.handlers[:], logger.level, logger.propagate)

    def run(*arguments):
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["pdeops", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        out, err = capfd.readouterr()
        return Done(status, out, err)

    yield run
    logger.handlers[:], logger.level, logger.propagate = before


@dataclass
class Workshop:
    """Small files and a small trained run."""

    folder: object
    train: object
    test: object
    run: object


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Darcy at 17 x 17: 12 training and 4 test samples, and an FNO trained for two epochs."""
    from pdeops.datasets import generate, problem_named
    from pdeops.tasks import load_recipe, train

    folder = tmp_path_factory.mktemp("workshop")
    problem = problem_named("darcy", "piecewise")
    for name, samples, seed in (("train", 12, 0), ("test", 4, 1)):
        generate(
            problem,
            problem.grid((17, 17)),
            num_samples=samples,
            seed=seed,
            out=folder / f"{name}.h5",
        )
    torch.set_num_threads(1)
    report = train(
        load_recipe("fno_darcy65", overrides(folder, "model.n_modes=[8,8]")),
        out=folder / "run",
        device="cpu",
    )
    return Workshop(folder, folder / "train.h5", folder / "test.h5", Path(report["run"]))


ROLLOUT = """
task = "rollout"
[data]
train = "{file}"
test = "{file}"
validation = 1
{data}
[model]
{model}
[training]
epochs = 1
"""

SMALL_FNO = """
name = "FNO"
n_modes = [4, 4]
hidden_channels = 4
n_layers = 1
"""


def train_rollout(folder, name, problem, shape, *, samples, model, data=""):
    """Trajectories of a problem in `folder/name`, and a model trained on them for one epoch in
    `folder/run`."""
    from pdeops.datasets import generate
    from pdeops.tasks import load_recipe, train

    generate(problem, problem.grid(shape), num_samples=samples, seed=0, out=folder / name)
    recipe = folder / "recipe.toml"
    recipe.write_text(ROLLOUT.format(file=folder / name, data=data, model=model))
    torch.set_num_threads(1)
    train(load_recipe(recipe), out=folder / "run", device="cpu")
    return folder


def overrides(folder, *more):
    """Settings that make a shipped recipe a matter of seconds on the workshop's files."""
    return [
        f"data.train='{folder / 'train.h5'}'",
        f"data.test='{folder / 'test.h5'}'",
        "data.validation=2",
        "model.hidden_channels=4",
        "training.epochs=2",
        "training.batch_size=5",
        *more,
    ]


@pytest.fixture
def write(tmp_path):
    """write(A, b): the two files, and x's."""

    def make(A, b):
        sp.save_npz(tmp_path / "A.npz", sp.csr_array(A))
        np.save(tmp_path / "b.npy", b)
        return ("--matrix", tmp_path / "A.npz", "--rhs", tmp_path / "b.npy")

    return make


@pytest.fixture
def darcy(write, generator):
    """A stencil with variable couplings, and b."""
    grid = Grid((40, 33))
    a = torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.1
    A = Diffusion(a, grid).to_csr()
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    return A, b, write(A, b)
