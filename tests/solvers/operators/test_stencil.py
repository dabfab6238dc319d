import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import Stencil, cg, stencil_offsets
from tests.stencils import dominant, elements, random_stencil, rotated, without

SHAPES = [(7,), (8, 9), (1, 9), (9, 1), (2, 2), (4, 5, 6), (5, 1, 4), (1, 1, 7), (2, 2, 2)]


def dense_elements(shape, k):
    """Bilinear or trilinear elements by quadrature with two points per axis, which is exact."""
    ndim, size = len(shape), int(np.prod(shape))
    points = np.array([0.5 - 0.5 / 3**0.5, 0.5 + 0.5 / 3**0.5])
    number = -np.ones([n + 2 for n in shape], dtype=int)
    number[(slice(1, -1),) * ndim] = np.arange(size).reshape(shape)
    A = np.zeros((size, size))
    corners = np.stack(np.meshgrid(*[[0, 1]] * ndim, indexing="ij"), -1).reshape(-1, ndim)
    for cell in np.ndindex(*k.shape):
        nodes = [number[tuple(np.add(cell, c))] for c in corners]
        for x in np.stack(np.meshgrid(*[points] * ndim, indexing="ij"), -1).reshape(-1, ndim):
            factors = np.where(corners == 1, x, 1 - x)
            slopes = np.where(corners == 1, 1.0, -1.0)
            gradient = np.array(
                [
                    [slopes[p, a] * np.prod(np.delete(factors[p], a)) for a in range(ndim)]
                    for p in range(len(corners))
                ]
            )
            local = float(k[cell]) / 2**ndim * gradient @ gradient.T
            for p, i in enumerate(nodes):
                for q, j in enumerate(nodes):
                    if i >= 0 and j >= 0:
                        A[i, j] += local[p, q]
    return A


@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 4)])
def test_stencil_of_elements_is_the_matrix_assembled_by_quadrature(shape):
    generator = torch.Generator().manual_seed(0)
    k = torch.rand([n + 1 for n in shape], generator=generator, dtype=torch.float64) + 0.1
    A = elements(shape, k=k).to_csr().toarray()
    assert np.abs(A - dense_elements(shape, k)).max() <= 1e-14 * np.abs(A).max()


def test_offsets():
    assert stencil_offsets(2) == [(0, 1), (1, -1), (1, 0), (1, 1)]
    assert len(stencil_offsets(3)) == 13
    assert stencil_offsets(3) == sorted(stencil_offsets(3))


@pytest.mark.parametrize("shape", SHAPES)
def test_product_is_that_of_the_matrix(shape):
    A = random_stencil(shape)
    matrix = A.to_csr()
    assert abs(matrix - matrix.T).max() == 0
    u = torch.randn(2, *shape, dtype=torch.float64)
    expected = torch.from_numpy((matrix @ u.reshape(2, -1).numpy().T).T.copy()).reshape(u.shape)
    assert torch.allclose(A @ u, expected, rtol=1e-13, atol=1e-12)
    assert np.array_equal(A.diagonal().numpy().ravel(), matrix.diagonal())


def test_a_coupling_is_the_entry_to_the_node_at_its_offset():
    A = random_stencil((5, 6))
    matrix = A.to_csr().toarray()
    for k, (i, j) in enumerate(stencil_offsets(2)):
        assert matrix[2 * 6 + 3, (2 + i) * 6 + 3 + j] == A.couplings[k, 2, 3]


def test_definiteness_is_read_from_dominant_entries():
    a = random_stencil((9, 8)).couplings
    zero = torch.zeros(9, 8, dtype=torch.float64)
    strict = zero.clone()
    strict[3, 4] = 0.1
    assert dominant(a, strict).positive_definite
    assert not dominant(a, zero).positive_definite
    cut = a.clone()
    cut[1:, 4] = 0  # no coupling from rows 0 .. 4 to rows 5 .. 8
    assert not dominant(cut, strict).positive_definite
    strict[7, 0] = 0.1
    assert dominant(cut, strict).positive_definite
    assert elements((9, 9)).positive_definite
    diagonals = torch.zeros_like(a)  # connected along one diagonal only
    diagonals[3, :-1, :-1] = -1.0
    ends = zero.clone()
    ends[0, :], ends[:, 0] = 0.1, 0.1
    assert dominant(diagonals, ends).positive_definite
    ends[0, 3] = 0
    assert not dominant(diagonals, ends).positive_definite


def test_what_the_entries_do_not_prove_is_declared():
    A = elements((20, 20), D=rotated(1e-3, 30))
    read = Stencil(A.diagonal(), A.couplings, A.grid)
    assert not read.positive_definite
    b = torch.ones(20, 20, dtype=torch.float64)
    with pytest.raises(ValueError, match="positive"):
        cg(read, b)
    assert cg(A, b).converged


def test_identity_nodes_decouple():
    hole = torch.zeros(9, 9, dtype=torch.bool)
    hole[3:6, 2:5] = True
    matrix = without(elements((9, 9)), hole).to_csr().toarray()
    inside = hole.flatten().numpy()
    assert np.array_equal(matrix[inside][:, inside], np.eye(9))
    assert not matrix[inside][:, ~inside].any()


def test_rounding_keeps_properties():
    A = elements((6, 6))
    single = A.to(torch.float32)
    assert single.dtype == torch.float32
    assert single.positive_definite
    assert abs(single.to_csr() - A.to_csr()).max() < 1e-6
    with pytest.raises(ValueError, match="NaN or infinity"):
        Stencil(A.diagonal() * 1e300, A.couplings * 1e300, A.grid).to(torch.float32)


def test_bad_input():
    A = elements((5, 6))
    d, a, grid = A.diagonal(), A.couplings, A.grid
    with pytest.raises(ValueError, match="one per offset"):
        Stencil(d, a[:3], grid)
    with pytest.raises(ValueError, match="one floating-point dtype"):
        Stencil(d.float(), a, grid)
    with pytest.raises(ValueError, match="NaN"):
        Stencil(d * torch.nan, a, grid)
    with pytest.raises(ValueError, match="outside the box"):
        Stencil(d, torch.ones_like(a), grid)
    with pytest.raises(ValueError, match="periodic"):
        Stencil(d, a, Grid((5, 6), boundary="periodic"))
