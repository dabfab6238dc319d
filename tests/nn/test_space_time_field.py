"""The Jacobian of a pointwise residual by one backward pass per equation."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.models import LPINN, PINN, NeuralFieldStepper
from pdeops.solvers import Burgers
from pdeops.solvers.evolution.initial import Sine

GRID = Grid((16,), 2 * math.pi, "periodic")
FIELDS = {
    "PINN": (PINN, {"num_layers": 2, "windows": 2}),
    "PINN, sine": (PINN, {"num_layers": 2, "activation": "sine", "winner": 0.3}),
    "LPINN": (LPINN, {"position_layers": 1, "value_layers": 2}),
    "NeuralFieldStepper": (
        NeuralFieldStepper,
        {"num_steps": 2, "scheme": "lobatto", "num_layers": 2},
    ),
    "LPINN, shared weights": (LPINN, {"shared": True}),
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", FIELDS)
def test_equals_automatic_differentiation(name, frozen):
    model, options = FIELDS[name]
    torch.manual_seed(0)
    field = model(Burgers(GRID, 0.1), Sine(GRID, 0.5), 1.0, hidden_channels=4, **options).double()
    if frozen:
        for part in field.modules():
            if hasattr(part, "hidden"):
                part.hidden.requires_grad_(False)
    x = torch.linspace(0.1, 6, 5, dtype=torch.float64)[None]
    points = field.collocate(x, torch.linspace(0.55, 0.9, 5, dtype=torch.float64))
    r, J = field.linearise(points)
    parts = {id(p) for part, _ in field.parts(points) for p in part.parameters()}
    trained = [p for p in field.parameters() if p.requires_grad and id(p) in parts]
    assert J.shape == (*r.shape, sum(p.numel() for p in trained))
    residual = field.residual(points)
    for e in range(len(r)):
        for n in range(5):
            expected = torch.autograd.grad(
                residual[e, n], trained, retain_graph=True, materialize_grads=True
            )
            row = torch.cat([g.flatten() for g in expected])
            torch.testing.assert_close(J[e, n], row, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(r, residual.detach())
