"""Read A and b of a linear system from files; the format is detected from the content."""

import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse

_MATRICES = "a matrix of scipy.sparse.save_npz, or Matrix Market (.mtx)"
_VECTORS = (
    "an array of numpy.save (.npy), Matrix Market (.mtx), or a .bin of a uint64 count N and N "
    "float64, little-endian"
)


def read_matrix(path: Path) -> "scipy.sparse.csr_array":
    """The square matrix in a file, as CSR in float64.

    Raises:
        ValueError: the file is missing or holds no square, finite, real matrix. Pickled objects are
            never loaded.
    """
    import numpy as np
    import scipy.sparse

    match _kind(path, _MATRICES):
        case "zip":
            matrix = _load(path, _read_npz, _MATRICES)
        case "matrix market":
            matrix = _load(path, _read_market, _MATRICES)
        case kind:
            raise ValueError(
                f"{path} is {_NAMES[kind]}; expected {_MATRICES}. A dense array becomes one by "
                f"scipy.sparse.save_npz(file, scipy.sparse.csr_array(A))."
            )
    if not scipy.sparse.issparse(matrix):
        matrix = scipy.sparse.csr_array(np.asarray(matrix))
    _require_real(path, matrix.dtype)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{path} holds a matrix of shape {matrix.shape}; A must be square.")
    if not matrix.shape[0]:
        raise ValueError(f"{path} holds a matrix without rows.")
    csr = scipy.sparse.csr_array(matrix, dtype="float64")
    if not np.isfinite(csr.data).all():
        raise ValueError(f"{path} holds NaN or infinity. Check where the matrix was made.")
    return csr


def read_rhs(path: Path, size: int) -> "np.ndarray":
    """The right-hand side in a file, as a flat float64 vector (C order) of `size` entries.

    Raises:
        ValueError: the file is missing or holds no array, the number of entries is not `size`, or
            an entry is not finite.
    """
    import numpy as np

    from ..solvers.vector_file import read_vector

    match _kind(path, _VECTORS):
        case "npy":
            b = _load(path, lambda p: np.load(p, allow_pickle=False), _VECTORS)
        case "matrix market":
            b = _load(path, _read_market, _VECTORS)
            b = b.toarray() if hasattr(b, "toarray") else np.asarray(b)
        case "unknown" if _is_counted(path) or path.suffix == ".bin":
            b = read_vector(path).numpy()
        case kind:
            raise ValueError(f"{path} is {_NAMES[kind]}; expected {_VECTORS}.")
    _require_real(path, b.dtype)
    if b.size != size:
        raise ValueError(
            f"{path} holds {b.size} numbers, shape {b.shape}; A has {size} rows. One right-hand "
            f"side of {size} numbers is needed, unknowns in C order."
        )
    b = np.ascontiguousarray(b, dtype="float64").ravel()
    wrong = np.flatnonzero(~np.isfinite(b))
    if wrong.size:
        raise ValueError(
            f"{path} holds NaN or infinity in {wrong.size} of {size} entries, first in entry "
            f"{wrong[0]}. Check where it was made."
        )
    return b


_NAMES = {
    "zip": "a zip container, such as .npz",
    "npy": "a dense array (.npy)",
    "matrix market": "Matrix Market",
    "html": "an HTML page, as left by a download that failed",
    "pickle": "a pickle, which can run any code and is never opened",
    "hdf5": "HDF5",
    "unknown": "of an unknown format",
}
_MAGIC = (
    (b"PK", "zip"),
    (b"\x93NUMPY", "npy"),
    (b"%%MatrixMarket", "matrix market"),
    (b"\x89HDF", "hdf5"),
    (b"\x80", "pickle"),
    (b"<", "html"),
)


def _kind(path: Path, wanted: str) -> str:
    if not path.is_file():
        raise ValueError(f"There is no file {path}; expected {wanted}.")
    with open(path, "rb") as file:
        head = file.read(512).lstrip()
    if not head:
        raise ValueError(f"{path} is empty; expected {wanted}.")
    # A .bin may begin with any byte; its length identifies it.
    if _is_counted(path):
        return "unknown"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "unknown")


def _is_counted(path: Path) -> bool:
    """Whether a file holds a uint64 count N and N float64 numbers."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        return size >= 16 and int.from_bytes(file.read(8), "little") == (size - 8) / 8


def _load(path: Path, load: Any, wanted: str) -> Any:
    try:
        return load(path)
    except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read as {wanted}: {why}") from None
    except pickle.UnpicklingError:
        raise ValueError(f"{path} holds pickled objects, which are never loaded.") from None


def _read_npz(path: Path) -> Any:
    import scipy.sparse

    with open(path, "rb") as file:  # numpy does not close a broken file
        matrix = scipy.sparse.load_npz(file)
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # scipy's loops trust the indices
    return matrix


def _read_market(path: Path) -> Any:
    from scipy.io import mmread

    return mmread(path)


def _require_real(path: Path, dtype: "np.dtype") -> None:
    if dtype.kind not in "fiub":
        raise ValueError(f"{path} holds numbers of type {dtype}; real ones are needed.")
