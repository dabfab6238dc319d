"""An eager forward and backward pass loads neither torch._dynamo nor sympy, which take longer to
import than torch itself."""

import os
import subprocess
import sys

LOADED = 'print(*({"torch._dynamo", "sympy", "numba"} & set(sys.modules)))\n'
EAGER = """
import sys
import torch
import pdeops.models, pdeops.solvers
from pdeops.domain import Grid
from pdeops.models import FNO, MgNO, PublishedMgNO
from pdeops.nn.convolution import CONV
from pdeops.nn.spectral_conv import SpectralConv

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
