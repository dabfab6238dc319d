"""Graph breaks of torch.compile: our models on grids have none; others are counted."""

import json
import os
import subprocess
import sys

import pytest

OURS = {
    "FNO": "FNO(1, 1, Grid((17, 16)), n_modes=(8, 8), hidden_channels=4, n_layers=2)",
    "FNO, paper's layer": "FNO(1, 1, Grid((9, 10)), n_modes=(4, 4), mlp_channels=0)",
    "FNO by FFT": "FNO(1, 1, Grid((2000,)), n_modes=(80,), hidden_channels=4, n_layers=2)",
    "FNO in 3D": "FNO(1, 1, Grid((9, 8, 7)), n_modes=(4, 4, 4), hidden_channels=4, n_layers=2)",
    "MgNO": "MgNO(1, 1, Grid((17, 17)), hidden_channels=4, n_layers=2)",
    "MgNO in 3D": "MgNO(1, 1, Grid((9, 9, 9), boundary='neumann'), hidden_channels=4, n_layers=2)",
    "PublishedMgNO": "PublishedMgNO(1, 1, Grid((64, 64)), hidden_channels=4, n_layers=2)",
    "LSM": "LSM(1, 1, Grid((17, 17)), hidden_channels=8, levels=3)",
    "Transolver": "Transolver(1, 1, Grid((17, 17)), hidden_channels=8, n_layers=2, num_slices=4)",
    "Transolver, pointwise": "Transolver(1, 1, Grid((9, 9)), hidden_channels=8, kernel_size=1)",
}
PLANE, GLOBE, CLOUD = "Grid((16, 16))", "Sphere((13, 24))", "Points(2, torch.rand(2, 40))"
LAYERS = "uno_out_channels=[4, 6, 4], uno_n_modes=[[8, 8], [4, 4], [4, 4]]"
SCALINGS = "uno_scalings=[[1, 1], [0.5, 0.5], [2, 2]]"
# Transolver on points (as PointLSM): whether they lie in the box depends on their values, so the
# graph ends in `PointBox` and in its caller.
# neuraloperator 2.0: list.pop and str.join in its forward, the interpreter's lock in tensorly's
# context of backends, and bisect in opt_einsum.
BREAKS = {
    "Transolver": (f"(1, 1, {CLOUD}, hidden_channels=8, n_layers=2, num_slices=4)", 2),
    "NeuralopFNO": (f"(1, 1, {PLANE}, n_modes=[8, 8], hidden_channels=4, n_layers=2)", 10),
    "NeuralopTFNO": (f"(1, 1, {PLANE}, n_modes=[8, 8], hidden_channels=4, n_layers=2)", 15),
    "NeuralopUNO": (f"(1, 1, {PLANE}, {LAYERS}, {SCALINGS})", 21),
    "NeuralopSFNO": (f"(1, 1, {GLOBE}, n_modes=[8, 12], hidden_channels=6, n_layers=2)", 10),
}


def breaks(builds, *, inference=True):
    """name -> number of graph breaks, in a process of its own without shape checks: a decorated
    forward does not compile."""
    code = f"""
import json, warnings
warnings.simplefilter("ignore")
import torch
from pdeops.domain import Grid, Points, Sphere
from pdeops.models import *
found = {{}}
for name, build in {builds!r}.items():
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = eval(build)
    x = torch.randn(2, 1, *model.grid.shape)
    model(x)  # neuraloperator makes its spherical transforms in the first call
    found[name] = torch._dynamo.explain(model)(x).graph_break_count
    if {inference}:
        torch._dynamo.reset()
        with torch.no_grad():
            found[name] += torch._dynamo.explain(model)(x[:1]).graph_break_count
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "JAXTYPING_DISABLE": "1", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_fno_has_no_graph_break():
    assert breaks({"FNO": OURS["FNO"]}) == {"FNO": 0}


@pytest.mark.slow
def test_our_models_have_no_graph_break():
    assert breaks(OURS) == dict.fromkeys(OURS, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKS)
def test_counted_graph_breaks(name):
    arguments, expected = BREAKS[name]
    assert breaks({name: name + arguments}, inference=False) == {name: expected}
