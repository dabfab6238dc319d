"""Trained networks against published solutions."""

import math

import pytest
import torch
from scipy.io import loadmat

from benchmarks.trained_fields import train
from pdeops.domain import Grid
from pdeops.models import PINN
from pdeops.solvers import AllenCahn


def square_cosine(x):
    """x² cos πx for -1 <= x <= 1, continued periodically; a kink at the ends."""
    z = (x + 1).remainder(2.0) - 1
    return z.square() * torch.cos(math.pi * z)


@pytest.mark.slow
def test_a_pinn_in_windows_solves_allen_cahn_as_published(shared_data):
    """The file of CausalPINNs, periodic, to t = 1/2: fronts form meanwhile."""
    data = loadmat(shared_data / "reference" / "Allen_Cahn_periodic.mat")
    equation = AllenCahn(Grid((64,), 2.0, "periodic"), 1e-4, 5.0)
    torch.manual_seed(0)
    field = PINN(equation, square_cosine, 0.5, hidden_channels=20, num_layers=3, windows=2)
    train(field)
    x = torch.from_numpy(data["x"])
    frames = list(range(0, 101, 10))
    times = [data["tt"][0, j].item() for j in frames]
    assert times[-1] == 0.5
    u = torch.stack([field(x, torch.full_like(x[0], t))[0] for t in times], 1)
    truth = torch.from_numpy(data["uu"][:, frames])
    error = ((u - truth).norm() / truth.norm()).item()
    print(f"relative error {error:.2e}")
    assert error < 5e-3
