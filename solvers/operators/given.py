"""Matrices and vectors as a caller holds them, as a sparse matrix of scipy and as numpy arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ...linop import LinearOperator

_WANTED = "a sparse matrix of scipy or torch, a dense array of numbers, or an operator with to_csr"


def as_sparse(matrix: Any, name: str = "A") -> Any:
    """A matrix in a sparse format of scipy; one that is sparse is returned as it is.

    Args:
        matrix: (n, n), sparse of scipy or torch, dense, or a `LinearOperator` with `to_csr`.
        name: of the matrix, for messages.

    Raises:
        ValueError: it is none of these, or a dense array does not hold real numbers.
    """
    import scipy.sparse

    if scipy.sparse.issparse(matrix):
        return matrix
    if isinstance(matrix, str | Path):
        raise ValueError(
            f"{name} must be {_WANTED}; got the text {str(matrix)!r}. If it names a file, read it "
            f"with scipy.sparse.load_npz, scipy.io.mmread or scipy.io.loadmat, or use the command "
            f"`pdeops solve --matrix FILE`."
        )
    if isinstance(matrix, LinearOperator):
        try:
            return matrix.to_csr()
        except NotImplementedError as error:
            raise ValueError(f"{name} must be {_WANTED}; {error}") from None
    if isinstance(matrix, Tensor):
        return _of_tensor(matrix, name)
    if hasattr(matrix, "matvec"):
        raise ValueError(
            f"{name} must be {_WANTED}; got a {type(matrix).__name__}, which gives products only. "
            f"Pass its entries, or use scipy.sparse.linalg.cg."
        )
    try:
        dense = np.asarray(matrix)
    except (TypeError, ValueError):  # rows of different lengths
        raise ValueError(f"{name} must be {_WANTED}; got a {type(matrix).__name__}.") from None
    if dense.ndim == 0 or dense.dtype == object:
        inside = f" of shape {dense.shape} that holds objects" if dense.ndim else ""
        raise ValueError(f"{name} must be {_WANTED}; got a {type(matrix).__name__}{inside}.")
    if dense.ndim != 2:
        raise ValueError(f"{name} must be square; got shape {dense.shape}.")
    return scipy.sparse.csr_array(real(dense, name))


def as_columns(b: Any, name: str) -> ndarray:
    """A vector or matrix of numbers as a numpy array, of torch, scipy.sparse or numpy.

    Raises:
        ValueError: it is a sparse square matrix of more than one row, as A is.
    """
    if isinstance(b, Tensor):
        b = b.detach().cpu()
        sparse = b.layout != torch.strided
        _refuse_square(tuple(b.shape), name, sparse)
        b = b.to_dense() if sparse else b
        return (b.double() if b.is_floating_point() else b.resolve_conj()).numpy()
    if hasattr(b, "toarray"):
        _refuse_square(b.shape, name, True)
        return np.asarray(b.toarray())
    return np.asarray(b)


def real(values: ndarray, name: str) -> ndarray:
    """The values as float64.

    Raises:
        ValueError: they are not numbers, or complex with an imaginary part, or finite and too large
            for float64.
    """
    if values.dtype.kind == "c":
        if np.any(values.imag):
            raise ValueError(
                f"{name} holds complex numbers ({values.dtype}); real ones are needed. A complex "
                f"system is a real one of twice the size."
            )
        values = values.real
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds numbers of type {values.dtype}; real ones are needed.")
    with np.errstate(over="ignore"):
        converted = np.asarray(values, dtype="float64")
    if values.dtype.itemsize > 8 and (np.isinf(converted) & np.isfinite(values)).any():
        raise ValueError(
            f"{name} holds numbers ({values.dtype}) that are too large for float64, whose largest "
            f"is 1.8e308. Scale the system."
        )
    return converted


def _of_tensor(matrix: Tensor, name: str) -> Any:
    import scipy.sparse

    matrix = matrix.detach().cpu()
    if matrix.ndim != 2:
        raise ValueError(f"{name} must be square; got shape {tuple(matrix.shape)}.")
    if matrix.layout == torch.strided:
        return scipy.sparse.csr_array(real(as_columns(matrix, name), name))
    coo = matrix.to_sparse_coo().coalesce()
    data = real(as_columns(coo.values(), name), name)
    return scipy.sparse.coo_array((data, tuple(coo.indices().numpy())), tuple(coo.shape)).tocsr()


def _refuse_square(shape: tuple[int, ...], name: str, sparse: bool) -> None:
    if sparse and len(shape) == 2 and shape[0] == shape[1] > 1:
        raise ValueError(
            f"{name} holds a sparse square matrix of shape {shape}, as A is, where right-hand "
            f"sides are needed. If all {shape[1]} columns are right-hand sides, give a dense array."
        )
