"""The inverse diagonal: exact for diagonal matrices, and what it is good for."""

import pytest
import scipy.sparse as sp
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import Diagonal, Laplacian, Matrix, cg


def test_exact_for_a_diagonal_matrix():
    A = Matrix(sp.diags_array([2.0, 5.0, 0.0, 1e-7]))
    M = Diagonal(A)
    check_spd(M)
    b = torch.tensor([1.0, 1.0, 0.0, 1.0]).double()
    result = cg(A, b, M=M)
    assert (result.converged, result.iterations) == (True, 1)


def test_undoes_a_scaling_of_rows_and_columns(generator):
    """Iterations for D A D with M are those for A, whose diagonal is constant, without."""
    A = Laplacian(Grid((18, 18)))
    d = torch.exp(3 * torch.randn(A.shape[0], generator=generator)).double()
    D = sp.diags_array(d.numpy())
    scaled = Matrix(D @ A.to_csr() @ D, positive_definite=True)
    b = torch.randn(A.shape[0], generator=generator).double()
    plain = cg(A, b.reshape(A.grid.shape), rtol=1e-6)
    # M⁻¹ = c D², so that the iterates are those of A, but |r| is weighted by D.
    with_m = cg(scaled, d * b, M=Diagonal(scaled), rtol=1e-6)
    without = cg(scaled, d * b, rtol=1e-6)
    assert with_m.converged
    assert with_m.iterations <= 1.3 * plain.iterations
    assert without.iterations > 5 * with_m.iterations


def test_a_negative_diagonal_is_refused():
    with pytest.raises(ValueError, match=r"\[-1, 2\]"):
        Diagonal(Matrix(sp.diags_array([2.0, -1.0])))
