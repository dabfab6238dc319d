"""An eager forward and backward pass loads neither torch._dynamo nor sympy, which take longer to
import than torch itself."""

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

from pdeops.domain import Grid
from pdeops.solvers import Laplacian

LOADED = 'print(*({"torch._dynamo", "sympy", "numba"} & set(sys.modules)))\n'
EAGER = """
import sys
import tempfile
from pathlib import Path

import torch
import pdeops.training
import pdeops.models, pdeops.solvers
from pdeops.domain import Grid
from pdeops.batch import Batch
from pdeops.models import FNO, MgNO, PublishedMgNO
from pdeops.nn.convolution import CONV
from pdeops.nn.spectral_conv import SpectralConv
from pdeops.training import checkpoint
from pdeops.training.ema import EMA
from pdeops.training.objectives import Supervised

SMALL = {"hidden_channels": 4, "n_layers": 2}
models = [
    (SpectralConv(1, 1, (8, 8)), (17, 16)),
    (FNO(1, 1, Grid((17, 16)), n_modes=(8, 8), **SMALL), (17, 16)),
    (FNO(1, 1, Grid((17, 16)), n_modes=(8, 8), mlp_channels=0, **SMALL), (17, 16)),
    (MgNO(1, 1, Grid((17, 17)), **SMALL), (17, 17)),
    (MgNO(1, 1, Grid((9, 9, 9)), **SMALL), (9, 9, 9)),
    (PublishedMgNO(1, 1, Grid((64, 64)), **SMALL), (64, 64)),
]
for model, shape in models:
    x = torch.randn(1, 1, *shape, requires_grad=True)
    model(x).square().sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(x).float().square().sum().backward()
    with torch.no_grad():
        model(x)

# A step of training without its optimizer.
model = torch.nn.Linear(3, 2)
batch = Batch(input=torch.ones(4, 3), target=torch.ones(4, 2))
Supervised(torch.nn.functional.mse_loss)(model, batch).backward()
torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
EMA(model, 0.9).update(model)
with pdeops.training.distributed.process_group("cpu"):
    pass
with tempfile.TemporaryDirectory() as folder:
    checkpoint.save(Path(folder) / "last.pt", {"model": model.state_dict()})
    checkpoint.load(Path(folder) / "last.pt")
assert not {"neuralop", "matplotlib", "triton"} & set(sys.modules)
"""


def loaded_after(code):
    done = subprocess.run(
        [sys.executable, "-c", code + LOADED],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_eager_passes_import_no_compiler():
    """numba neither: no network needs a compiled loop."""
    assert loaded_after(EAGER) == set()


@pytest.mark.slow
def test_optimizers_of_torch_import_it_themselves():
    """Why the test above takes no optimizer step: torch 2.13 imports the compiler in the first one,
    without our code. Should this test fail, add a step to `EAGER`."""
    code = """
import sys
import torch
optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))])
optimizer.step()
"""
    assert loaded_after(code) == {"torch._dynamo", "sympy"}


# What a command may not import, because it does not use it.
COMPILERS = {"torch._dynamo", "sympy", "triton"}
SLOW = {"neuralop", "matplotlib", "xarray", "pyamg", "tensorboard", "wandb", "torch_harmonics"}
COMMANDS = {
    "--help": ({"torch", "numpy", "scipy", "numba", "h5py"} | COMPILERS | SLOW, ()),
    "models": ({"numba", "h5py"} | COMPILERS | SLOW, ()),
    "doctor": ({"numba", "scipy", "h5py"} | COMPILERS | SLOW, ()),
    "solve": (COMPILERS | SLOW, ("--matrix", "A.npz", "--rhs", "b.npy")),
}


def imported_by(*arguments, folder):
    """The modules that a new process has loaded at the end of a command."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=open('modules', 'w')))\n"
        f"sys.argv = ['pdeops', *{arguments!r}]\n"
        "from pdeops.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set((folder / "modules").read_text().split())


@pytest.mark.parametrize(
    "verb",
    [pytest.param(v, marks=pytest.mark.slow) if v in ("doctor", "models") else v for v in COMMANDS],
)
def test_a_command_imports_only_what_it_needs(verb, tmp_path):
    refused, arguments = COMMANDS[verb]
    if verb == "solve":
        A = Laplacian(Grid((9, 9))).to_csr()
        scipy.sparse.save_npz(tmp_path / "A.npz", A)
        np.save(tmp_path / "b.npy", np.ones(A.shape[0]))
    modules = imported_by(verb, *arguments, folder=tmp_path)
    assert "pdeops.cli" in modules
    assert not refused & modules
