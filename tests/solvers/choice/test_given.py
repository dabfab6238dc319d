"""Matrices and right-hand sides as callers hold them: read with the right values, or named."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg
import torch

import pdeops
from pdeops.domain import Grid
from pdeops.linop import LinearOperator
from pdeops.solvers import Laplacian
from pdeops.solvers.choice.solve import _check
from pdeops.solvers.operators.given import as_columns, as_sparse, real
from pdeops.solvers.operators.recognise import recognise

OPERATOR = Laplacian(Grid((9, 9)))
A = OPERATOR.to_csr()
N = A.shape[0]
SYMMETRIC_TEXT = np.array([["1", "0"], ["0", "1"]])


class OnlyProducts(LinearOperator):
    """An operator without a matrix."""

    grid = OPERATOR.grid

    def apply(self, u):
        """u itself."""
        return u


FORMS = {
    "operator": lambda: OPERATOR,
    "torch dense": lambda: torch.from_numpy(A.toarray()).requires_grad_(),
    "torch coo": lambda: torch.from_numpy(A.toarray()).to_sparse(),
    "big-endian": lambda: A.toarray().astype(">f8"),
    "big-endian integers": lambda: (A.toarray() / A.max() * 4).astype(">i4"),
    "float16": lambda: (A.toarray() / A.max() * 4).astype("float16"),
    "bfloat16": lambda: torch.from_numpy(A.toarray() / A.max() * 4).bfloat16(),
    "rows of lists": lambda: A.toarray().tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_matrix(form):
    given = FORMS[form]()
    read = as_sparse(given).toarray()
    assert read.dtype == np.float64
    expected = A.toarray() * (read[0, 0] / A[0, 0])
    assert np.abs(read - expected).max() <= 1e-3 * np.abs(expected).max()
    assert pdeops.solve(given, np.ones(N)).converged
    assert recognise(given).on_grid is not None


@pytest.mark.filterwarnings("ignore:Sparse")  # of torch, once per process
def test_a_sparse_tensor_in_rows():
    x = pdeops.solve(A, np.ones(N), rtol=1e-12).x
    again = pdeops.solve(torch.from_numpy(A.toarray()).to_sparse_csr(), np.ones(N), rtol=1e-12).x
    assert (again - x).abs().max() <= 1e-9 * x.abs().max()


NO_MATRIX = {
    "None": (None, "NoneType"),
    "text": ("A.npz", "pdeops solve --matrix"),
    "operator of scipy": (scipy.sparse.linalg.aslinearoperator(A), "products only"),
    "operator without a matrix": (OnlyProducts(), "OnlyProducts has no sparse matrix"),
    "ragged": ([[1.0], [1.0, 2.0]], "got a list"),
    "objects": (np.array([[1, None], [None, 1]]), "holds objects"),
    "array of text": (SYMMETRIC_TEXT, "type <U1"),
    "vector": (np.ones(N), "square"),
    "a number": (3.0, "got a float"),
}


@pytest.mark.parametrize("name", NO_MATRIX)
@pytest.mark.parametrize("call", [lambda m: pdeops.solve(m, np.ones(2)), recognise])
def test_what_is_no_matrix(call, name):
    given, words = NO_MATRIX[name]
    with pytest.raises(ValueError, match=words):
        call(given)


def test_right_hand_sides_of_other_kinds():
    """Columns of scipy.sparse and of torch, in half precision too, equal dense ones."""
    b = np.round(np.random.default_rng(0).standard_normal((N, 3)) * 8) / 8
    x = pdeops.solve(A, b, rtol=1e-12).x
    tensor = torch.from_numpy(b)
    for form in (sp.csr_array(b), sp.coo_matrix(b), tensor.bfloat16(), tensor.to_sparse()):
        again = pdeops.solve(A, form, rtol=1e-12)
        assert again.x.shape == x.shape
        assert (again.x - x).abs().max() <= 1e-9 * x.abs().max()
    assert pdeops.solve(A, sp.csc_array(b[:, :1])).x.shape == (N, 1)


def test_a_matrix_is_no_right_hand_side():
    """Unless it is dense: its n columns are n right-hand sides, and x is the identity."""
    for form in (A, sp.csr_matrix(A), torch.from_numpy(A.toarray()).to_sparse()):
        with pytest.raises(ValueError, match="sparse square matrix"):
            pdeops.solve(A, form)
    x = pdeops.solve(A, A.toarray()).x
    assert (x - torch.eye(N, dtype=x.dtype)).abs().max() <= 1e-6
    assert as_columns(sp.csr_array([[2.0]]), "b") == 2.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rtol": None}, "rtol must be positive.*None"),
        ({"rtol": "1e-8"}, "rtol must be positive.*'1e-8'"),
        ({"rtol": np.inf}, "rtol"),
        ({"max_iterations": None}, "max_iterations must be an integer.*None"),
        ({"max_iterations": 2.5}, "max_iterations must be an integer.*2.5"),
        ({"method": 5}, "method must be None, a name.*got 5"),
    ],
)
def test_arguments_of_a_wrong_type(change, words):
    with pytest.raises(ValueError, match=words):
        _check(**({"rtol": 1e-8, "method": None, "max_iterations": 9} | change))


def test_numbers_of_numpy_are_numbers():
    _check(np.float32(1e-6), None, np.int32(9))
    assert pdeops.solve(A, np.ones(N), rtol=np.float64(1e-6)).converged


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="no long double")
def test_numbers_beyond_float64():
    big = np.array([np.longdouble("1e400")])
    with pytest.raises(ValueError, match="too large for float64"):
        real(big, "b")
    with pytest.raises(ValueError, match=r"b holds .*too large for float64"):
        pdeops.solve(np.eye(1), big)
    assert np.isinf(
        real(np.array([np.inf], dtype=np.longdouble), "b")
    )  # that is not finite as given


def test_an_asymmetry_in_late_digits_is_shown():
    B = np.array([[2.0, -1.0], [-1.0 - 1e-10, 2.0]])
    for message in (_refusal(B), recognise(B).reason):
        assert "-1.0" in message
        assert "-1.0000000001" in message


def _refusal(matrix):
    with pytest.raises(ValueError, match="not symmetric") as caught:
        pdeops.solve(matrix, np.ones(2))
    return str(caught.value)
