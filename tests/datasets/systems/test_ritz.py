"""Ritz pairs by Lanczos: what they must satisfy exactly, and where they converge."""

import math

import pytest
import torch

from pdeops.datasets.systems.ritz import ritz_pairs
from pdeops.domain import Grid
from pdeops.solvers import Diffusion


def box(shape, boundary="neumann"):
    return Diffusion(1.0, Grid(shape, [float(n) for n in shape], boundary, "centers"))


def noise(shape, generator):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet"])
def test_vectors_are_orthonormal_and_residuals_orthogonal_to_all(boundary, generator):
    A = box((20, 17), boundary)
    theta, v = ritz_pairs(A, noise(A.grid.shape, generator), 50)
    V, R = v.flatten(1), (A @ v - theta[:, None, None] * v).flatten(1)
    assert len(theta) == 50
    assert (V @ V.T - torch.eye(50)).abs().max() < 1e-12
    assert (R @ V.T).abs().max() < 1e-10
    assert R.norm(dim=1).max() > 1e-3  # few have converged: they are mixtures, as is wanted


def test_the_ends_of_the_spectrum_converge_first(generator):
    A = box((32, 24))
    theta, v = ritz_pairs(A, noise(A.grid.shape, generator), 120)
    lowest = min(2 - 2 * math.cos(math.pi / n) for n in A.grid.shape)
    highest = sum(2 - 2 * math.cos(math.pi * (n - 1) / n) for n in A.grid.shape)
    assert theta[0] == pytest.approx(lowest, rel=1e-8)
    assert theta[-1] == pytest.approx(highest, rel=1e-8)
    assert (theta.diff() > 0).all()
    assert v[0].sum().abs() < 1e-8  # the constant, the kernel of A, is not among them


def test_a_space_that_is_exhausted_gives_eigenvectors(generator):
    A = box((5, 4), "dirichlet")
    theta, v = ritz_pairs(A, noise(A.grid.shape, generator), 100)
    exact = torch.linalg.eigvalsh(torch.from_numpy(A.to_csr().toarray()))
    assert (theta[:, None] - exact).abs().amin(1).max() < 1e-10
    assert (theta[:, None] - exact).abs().amin(0).max() < 1e-10  # all distinct ones are there
    assert (A @ v - theta[:, None, None] * v).abs().max() < 1e-10
