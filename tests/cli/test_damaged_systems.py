"""Files that hold no matrix or no right-hand side for `pdeops solve`."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from .test_bad_input import refused


def bad_matrices(folder, A):
    sp.save_npz(folder / "complex.npz", A * (1 + 1e-3j))
    sp.save_npz(folder / "oblong.npz", A[:5])
    sp.save_npz(folder / "nan.npz", A * np.nan)
    np.savez(folder / "dense.npz", A=A.toarray())
    np.savez(folder / "objects.npz", format=np.array([{}], dtype=object))
    np.save(folder / "dense.npy", A.toarray())
    (folder / "truncated.npz").write_bytes((folder / "A.npz").read_bytes()[:400])
    (folder / "html.npz").write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    (folder / "text.npz").write_text("4 -1 0\n-1 4 -1\n")
    (folder / "pickle.npz").write_bytes(pickle.dumps(A))
    (folder / "empty.npz").write_bytes(b"")
    head = "%%MatrixMarket matrix coordinate real general\n"
    (folder / "short.mtx").write_text(f"{head}5 5 3\n1 1 2.0\n")
    broken = A.tocsr().copy()
    broken.indices = broken.indices + 10**6
    np.savez(
        folder / "indices.npz", format=b"csr", shape=A.shape,
        data=broken.data, indices=broken.indices, indptr=broken.indptr,
    )  # fmt: skip
    sp.save_npz(folder / "unsymmetric.npz", A + sp.eye_array(*A.shape, k=3))


BAD_MATRICES = {
    "missing.npz": "There is no file",
    "complex.npz": "complex128",
    "oblong.npz": "must be square",
    "nan.npz": "NaN or infinity",
    "dense.npz": "does not contain a sparse array",
    "objects.npz": "allow_pickle=False",
    "dense.npy": "scipy.sparse.save_npz",
    "truncated.npz": "not a zip file",
    "html.npz": "HTML page",
    "text.npz": "unknown format",
    "pickle.npz": "never opened",
    "empty.npz": "is empty",
    "short.mtx": "Truncated",
    "indices.npz": "indices",
    "unsymmetric.npz": "Aᵀ",
}


@pytest.mark.parametrize("name", BAD_MATRICES)
def test_files_that_are_no_matrix(pdeops, darcy, tmp_path, name):
    bad_matrices(tmp_path, darcy[0])
    out = tmp_path / "x.npy"
    done = pdeops("solve", "--matrix", tmp_path / name, "--rhs", tmp_path / "b.npy", "--out", out)
    refused(done, BAD_MATRICES[name])
    assert not out.exists()


def bad_vectors(folder, b):
    np.save(folder / "long.npy", np.append(b, 0))
    np.save(folder / "batch.npy", np.stack([b, b]))
    np.save(folder / "strings.npy", np.array(["a"] * b.size))
    np.save(folder / "objects.npy", np.array([{}] * b.size, dtype=object))
    spoiled = b.copy()
    spoiled[7] = np.nan
    np.save(folder / "nan.npy", spoiled)
    (folder / "truncated.npy").write_bytes((folder / "b.npy").read_bytes()[:-20])
    (folder / "html.npy").write_text("<html>")
    (folder / "pickle.npy").write_bytes(pickle.dumps(b))
    (folder / "short.bin").write_bytes(np.uint64(b.size).tobytes() + b[:-1].tobytes())
    (folder / "text.txt").write_text("1.0\n2.0\n")


BAD_VECTORS = {
    "missing.npy": "There is no file",
    "long.npy": "1179 numbers",
    "batch.npy": "columns of an array of shape (1178, 2)",
    "strings.npy": "real ones are needed",
    "objects.npy": "allow_pickle=False",
    "nan.npy": "first in entry 7",
    "truncated.npy": "Failed to read all data",
    "html.npy": "HTML page",
    "pickle.npy": "never opened",
    "short.bin": "is no vector",
    "text.txt": "unknown format",
}


@pytest.mark.parametrize("name", BAD_VECTORS)
def test_files_that_are_no_right_hand_side(pdeops, darcy, tmp_path, name):
    bad_vectors(tmp_path, darcy[1])
    done = pdeops("solve", "--matrix", tmp_path / "A.npz", "--rhs", tmp_path / name)
    refused(done, BAD_VECTORS[name])
