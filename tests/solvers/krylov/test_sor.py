import math

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import (
    SOR,
    SSOR,
    Diffusion,
    Laplacian,
    Matrix,
    bicgstab,
    cg,
    solve_sparse,
    sor,
)


def young(n):
    """The best ω for -Δ on n cells per axis, and the spectral radius it gives."""
    beta = math.cos(math.pi / n)
    omega = 1 + (beta / (1 + math.sqrt(1 - beta**2))) ** 2
    return omega, omega - 1


def poisson(n=17):
    A = Laplacian(Grid((n, n)))
    b = torch.randn(A.grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return A, b


def test_equals_the_direct_solution(piecewise):
    grid = Grid((17, 14))
    A = Diffusion(piecewise(grid), grid)
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    result = sor(A, b, omega=1.5, rtol=1e-10)
    assert result.converged
    x = solve_sparse(A, b).x
    assert (result.x - x).norm() < 1e-8 * x.norm()
    assert result.residual == pytest.approx(((b - A @ result.x).norm() / b.norm()).item())
    assert len(result.residuals) == result.iterations + 1


def test_is_the_stationary_iteration_of_its_preconditioner():
    """x ← x + M (b - A x), written out."""
    A, b = poisson()
    M, ours = SOR(A, 1.6), sor(A, b, omega=1.6)
    x, residuals = torch.zeros_like(b), [1.0]
    while residuals[-1] > 1e-8:
        x = x + M @ (b - A @ x)
        residuals.append(((b - A @ x).norm() / b.norm()).item())
    assert ours.iterations == len(residuals) - 1
    assert ours.residuals[:-1] == pytest.approx(residuals[:-1], rel=1e-7)
    torch.testing.assert_close(ours.x, x)


def test_contracts_at_the_rate_of_gauss_seidel_and_of_youngs_omega():
    """ρ = cos²(πh) at ω = 1 and ω - 1 at the best ω, where the other ω nearby are slower."""
    A, b = poisson()
    plain = sor(A, b, omega=1.0, rtol=1e-10)
    steps = plain.residuals[-1] / plain.residuals[-51]
    assert steps ** (1 / 50) == pytest.approx(math.cos(math.pi / 16) ** 2, rel=1e-3)
    omega, rho = young(16)
    counts = {w: sor(A, b, omega=w, rtol=1e-8).iterations for w in (omega - 0.1, omega, 1.9)}
    assert min(counts, key=counts.__getitem__) == omega
    assert counts[omega] < 1.8 * math.log(1e-8) / math.log(rho)
    assert counts[omega] < plain.iterations / 5


def test_ssor_preconditions_cg():
    A, b = poisson(65)
    M = SSOR(A, 1.9)
    check_spd(M)
    plain, result = cg(A, b), cg(A, b, M=M)
    assert result.converged
    assert result.iterations < plain.iterations / 3
    with pytest.raises(ValueError, match="symmetric positive definite M"):
        cg(A, b, M=SOR(A, 1.9))
    with pytest.raises(ValueError, match="not symmetric"):
        check_spd(SOR(A, 1.9))
    assert bicgstab(A, b, M=SOR(A, 1.5)).converged


def test_ssor_is_the_matrix_of_the_book():
    A, _ = poisson(6)
    dense = torch.from_numpy(A.to_csr().toarray())
    D, L, w = torch.diag(dense.diagonal()), dense.tril(-1), 1.3
    book = (D + w * L) @ torch.linalg.inv(D) @ (D + w * L.T) / (w * (2 - w))
    M = SSOR(A, w)
    columns = (M @ torch.eye(16).double().reshape(16, 4, 4)).reshape(16, 16)
    torch.testing.assert_close(columns, torch.linalg.inv(book))


def test_a_batch_equals_its_columns_and_x0_helps():
    A, b = poisson()
    batch = torch.stack((b, 0 * b, 3 * b))
    result = sor(A, batch, omega=1.7)
    one = sor(A, b, omega=1.7)
    assert [c.iterations for c in result.columns] == [one.iterations, 0, one.iterations]
    assert torch.equal(result.x[0], one.x)
    guess = one.x.clone()
    assert sor(A, b, omega=1.7, x0=guess).iterations == 0
    assert torch.equal(guess, one.x)
    assert sor(A, b.float(), omega=1.7, rtol=1e-4).x.dtype == torch.float32


def test_singular_systems_and_failures_are_reported():
    A = Laplacian(Grid((9, 9), boundary="neumann"))
    b = torch.randn(9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    good, bad = sor(A, A.project(b), omega=1.5), sor(A, b, omega=1.5)
    assert good.converged
    assert not bad.converged
    assert "inconsistent" in bad.reason
    short = sor(A, A.project(b), omega=1.0, max_iterations=3)
    assert (short.converged, short.iterations) == (False, 3)
    assert "max_iterations = 3" in short.reason
    wild = Matrix(np.array([[1.0, 5.0], [5.0, 1.0]]))
    lost = sor(wild, torch.ones(2).double(), omega=1.5)
    assert not lost.converged
    assert "diverges" in lost.reason
    assert "NaN" in sor(A, math.nan * b, omega=1.0).reason


def test_bad_input_is_refused():
    A, b = poisson()
    for omega in (0.0, 2.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=r"omega must lie in \(0, 2\)"):
            sor(A, b, omega=omega)
    with pytest.raises(ValueError, match="zero in row 1"):
        sor(Matrix(np.array([[1.0, 1.0], [1.0, 0.0]])), torch.ones(2).double(), omega=1.0)
    with pytest.raises(ValueError, match="symmetric only if A is"):
        SSOR(Matrix(np.array([[1.0, 1.0], [0.0, 1.0]])), 1.0)
    with pytest.raises(ValueError, match="negative entries"):
        SSOR(Matrix(np.diag([1.0, -1.0])), 1.0)
