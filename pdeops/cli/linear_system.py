"""Read A and b of a linear system from files; the format is detected from the content."""

import gzip
import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse

_MATRICES = (
    "a matrix of scipy.sparse.save_npz, Matrix Market (.mtx, .mtx.gz), or MATLAB (.mat) with a "
    "matrix A or a struct Problem of the SuiteSparse collection"
)
_VECTORS = (
    "an array of numpy.save (.npy), Matrix Market (.mtx), MATLAB (.mat) with b, or a .bin of a "
    "uint64 count N and N float64, little-endian"
)


def read_matrix(path: Path) -> "scipy.sparse.csr_array":
    """The square matrix in a file, as CSR in float64.

    Raises:
        ValueError: the file is missing or holds no square, finite, real matrix. Pickled objects are
            never loaded.
    """
    import numpy as np
    import scipy.sparse

    from ..solvers.operators.given import as_sparse, real
    from .matlab import MATLAB, read_matlab

    match _kind(path, _MATRICES):
        case "zip":
            matrix = _load(path, _read_npz, _MATRICES)
        case "matrix market" | "gzip":
            matrix = _load(path, _read_market, _MATRICES)
        case "mat" | "hdf5":
            matrix = _load(path, lambda p: read_matlab(p, MATLAB["A"]), _MATRICES)
        case kind:
            raise ValueError(
                f"{path} is {_NAMES[kind]}; expected {_MATRICES}. A dense array becomes one by "
                f"scipy.sparse.save_npz(file, scipy.sparse.csr_array(A))."
            )
    if not scipy.sparse.issparse(matrix):
        matrix = as_sparse(np.atleast_2d(matrix), str(path))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{path} holds a matrix of shape {matrix.shape}; A must be square.")
    if not matrix.shape[0]:
        raise ValueError(f"{path} holds a matrix without rows.")
    csr = scipy.sparse.csr_array(matrix)
    csr.data = real(csr.data, str(path))
    if not np.isfinite(csr.data).all():
        raise ValueError(f"{path} holds NaN or infinity. Check where the matrix was made.")
    return csr


def read_rhs(path: Path, size: int, *, matrix: Path | None = None) -> "np.ndarray":
    """The right-hand sides in a file in float64: (size, k) if it holds an array of `size` rows and
    k > 1 columns, else a vector of its `size` entries in C order.

    Args:
        matrix: the file of A. If it is the same, b must be another variable in it.

    Raises:
        ValueError: the file is missing or holds no array or a sparse square matrix, the number of
            entries is not `size`, or an entry is not finite.
    """
    import numpy as np

    from ..solvers.operators.given import as_columns, real
    from ..solvers.vector_file import read_vector
    from .matlab import MATLAB, read_matlab

    match _kind(path, _VECTORS):
        case kind if matrix is not None and path.samefile(matrix):
            b = _in_the_file_of_A(path, kind)
        case "npy":
            b = _load(path, lambda p: np.load(p, allow_pickle=False), _VECTORS)
        case "matrix market" | "gzip":
            b = _load(path, _read_market, _VECTORS)
        case "zip":
            b = _load(path, _read_array, _VECTORS)
        case "mat" | "hdf5":
            b = _load(path, lambda p: read_matlab(p, MATLAB["b"]), _VECTORS)
        case "unknown" if _is_counted(path) or path.suffix == ".bin":
            b = read_vector(path).numpy()
        case kind:
            raise ValueError(f"{path} is {_NAMES[kind]}; expected {_VECTORS}.")
    b = as_columns(b, str(path))
    shape = b.shape
    b = np.ascontiguousarray(real(b, str(path)))
    if b.ndim != 2 or b.shape[0] != size or b.shape[1] < 2:
        if b.size != size:
            hint = ""
            if b.ndim == 2 and b.shape[1] == size:
                hint = f" Several are the columns of an array of shape ({size}, {b.shape[0]})."
            raise ValueError(
                f"{path} holds {b.size} numbers, shape {shape}; A has {size} rows. One right-hand "
                f"side of {size} numbers is needed, unknowns in C order, or columns of {size} "
                f"numbers.{hint}"
            )
        b = b.ravel()
    wrong = np.flatnonzero(~np.isfinite(b.reshape(size, -1)).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"{path} holds NaN or infinity in {wrong.size} of {size} entries, first in entry "
            f"{wrong[0]}. Check where it was made."
        )
    return b


def _in_the_file_of_A(path: Path, kind: str) -> Any:
    """b in the file of A. It is never the only variable, which is A."""
    from .matlab import MATLAB, read_matlab

    why = f"--rhs is needed: {path} holds A and no right-hand side b"
    if kind not in ("mat", "hdf5"):
        raise ValueError(f"{why}.")
    try:
        return read_matlab(path, MATLAB["b"], only=False)
    except ValueError as error:
        raise ValueError(f"{why}: {error}.") from None


_NAMES = {
    "zip": "a zip container, such as .npz",
    "npy": "a dense array (.npy)",
    "matrix market": "Matrix Market",
    "gzip": "compressed (gzip)",
    "html": "an HTML page, as left by a download that failed",
    "pickle": "a pickle, which can run any code and is never opened",
    "hdf5": "HDF5",
    "mat": "MATLAB",
    "tar": "an archive; unpack it first",
    "unknown": "of an unknown format",
}
_MAGIC = (
    (b"PK", "zip"),
    (b"\x93NUMPY", "npy"),
    (b"%%MatrixMarket", "matrix market"),
    (b"%%matrixmarket", "matrix market"),
    (b"\x1f\x8b", "gzip"),
    (b"MATLAB 5.0 MAT-file", "mat"),
    (b"MATLAB 7.3 MAT-file", "hdf5"),
    (b"\x89HDF", "hdf5"),
    (b"\x80", "pickle"),
    (b"<", "html"),
)


def _kind(path: Path, wanted: str) -> str:
    if not path.is_file():
        raise ValueError(f"There is no file {path}; expected {wanted}.")
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise ValueError(f"{path} is empty; expected {wanted}.")
    # A .bin may begin with any byte; its length identifies it.
    if _is_counted(path):
        return "unknown"
    kind = _of(head)
    if kind != "gzip":
        return kind
    inside = _of(_load(path, _unpacked_head, wanted))
    if inside != "matrix market":
        raise ValueError(f"{path} is a compressed file, inside {_NAMES[inside]}. Decompress it.")
    return "gzip"


def _unpacked_head(path: Path) -> bytes:
    with gzip.open(path) as file:
        return file.read(512)


def _of(head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "tar"
    from .matlab import is_version_4

    if is_version_4(head):
        return "mat"
    head = head.lstrip()
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "unknown")


def _is_counted(path: Path) -> bool:
    """Whether a file holds a uint64 count N and N float64 numbers."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        return size >= 16 and int.from_bytes(file.read(8), "little") == (size - 8) / 8


def _load(path: Path, load: Any, wanted: str) -> Any:
    try:
        return load(path)
    except pickle.UnpicklingError:
        raise ValueError(f"{path} holds pickled objects, which are never loaded.") from None
    except Exception as error:  # whatever a reader raises is about this file
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read as {wanted}: {why}") from None


def _read_npz(path: Path) -> Any:
    import scipy.sparse

    with open(path, "rb") as file:  # numpy does not close a broken file
        matrix = scipy.sparse.load_npz(file)
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # scipy's loops trust the indices
    return matrix


def _read_array(path: Path) -> Any:
    """The only array of an .npz, or its sparse matrix."""
    import numpy as np

    with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
        names = content.files
        if len(names) == 1:
            return content[names[0]]
    if "format" in names:
        return _read_npz(path)
    raise ValueError(f"it holds the arrays {', '.join(names)}; save the right-hand side alone")


def _read_market(path: Path) -> Any:
    from scipy.io import mmread

    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return mmread(io.BytesIO(content))
