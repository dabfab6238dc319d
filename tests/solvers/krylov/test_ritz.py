"""Ritz pairs by Lanczos: what they must satisfy exactly, and where they converge."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion
from pdeops.solvers.krylov.lanczos import LanczosMatrix, ritz_pairs


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


def test_of_cg_is_the_matrix_of_lanczos(generator):
    """The coefficients of CG give the Ritz pairs of the same Krylov spaces, in a batch."""
    A = box((12, 9), "dirichlet")
    b = torch.randn(3, *A.grid.shape, generator=generator, dtype=torch.float64)
    r, p = b.clone(), b.clone()
    alphas, betas, basis = [], [], []

    def dot(u, v):
        return (u * v).flatten(1).sum(1)

    for _ in range(20):
        basis.append(r / dot(r, r).sqrt()[:, None, None])
        Ap, rr = A @ p, dot(r, r)
        alphas.append(rr / dot(p, Ap))
        r = r - alphas[-1][:, None, None] * Ap
        betas.append(dot(r, r) / rr)
        p = r + betas[-1][:, None, None] * p
    T = LanczosMatrix.of_cg(torch.stack(alphas), torch.stack(betas[:-1]))
    theta, S = T.eigh()
    vectors = torch.einsum("bkm,kbxy->bmxy", S, torch.stack(basis))
    for column in range(3):
        expected, v = ritz_pairs(A, b[column], 20)
        torch.testing.assert_close(theta[column], expected, rtol=1e-10, atol=0)
        overlap = (vectors[column] * v).flatten(1).sum(1).abs()
        torch.testing.assert_close(overlap, torch.ones_like(overlap))
        alone = LanczosMatrix(T.diagonal[column], T.side[column])
        assert alone.condition() == pytest.approx((expected[-1] / expected[0]).item())
        wrong = LanczosMatrix(T.diagonal[column], 1.01 * T.side[column])  # negative control
        assert (wrong.eigh()[0] - expected).abs().max() > 1e-3
