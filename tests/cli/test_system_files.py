"""`pdeops solve`: which variable of which file is A, and which is b."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import mmwrite, savemat

from pdeops.domain import Grid
from pdeops.solvers import Laplacian

from .test_bad_input import refused

A = Laplacian(Grid((9, 9))).to_csr()
N = A.shape[0]
B = np.random.default_rng(0).standard_normal(N)


def header(path):
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))


def write_sparse(file, name, matrix=A):
    csc = matrix.tocsc()
    group = file.create_group(name)
    group["data"], group["ir"], group["jc"] = csc.data, csc.indices, csc.indptr
    group.attrs["MATLAB_sparse"] = np.uint64(N)


def solved(done, out):
    assert done.status == 0, done.stderr
    assert np.linalg.norm(B - A @ np.load(out)) <= 1e-8 * np.linalg.norm(B)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("name", ["K", "A"])
@pytest.mark.parametrize("again", [False, True])
def test_the_only_variable_is_not_b_too(pdeops, tmp_path, dense, name, again):
    path = tmp_path / "one.mat"
    savemat(path, {name: A.toarray() if dense else sp.csc_matrix(A)})
    given = ("--rhs", path) if again else ()
    refused(pdeops("solve", "--matrix", path, *given), "--rhs is needed", f"it holds {name}")
    np.save(tmp_path / "b.npy", B)
    out = tmp_path / "x.npy"
    solved(pdeops("solve", "--matrix", path, "--rhs", tmp_path / "b.npy", "--out", out), out)


@pytest.mark.parametrize("name", ["A.npz", "A.mtx", "K.mat"])
def test_a_file_of_a_sparse_matrix_is_no_right_hand_side(pdeops, tmp_path, name):
    for folder in ("one", "two"):
        path = tmp_path / folder / name
        path.parent.mkdir()
        if name == "A.npz":
            sp.save_npz(path, A)
        elif name == "A.mtx":
            mmwrite(path, A)
        else:
            savemat(path, {"K": sp.csc_matrix(A)})
    refused(pdeops("solve", "--matrix", path, "--rhs", path), "--rhs is needed")
    other = tmp_path / "one" / name
    refused(pdeops("solve", "--matrix", path, "--rhs", other), "sparse square matrix", "dense")


def test_a_dense_array_of_n_columns_is_n_right_hand_sides(pdeops, tmp_path):
    sp.save_npz(tmp_path / "A.npz", A)
    np.save(tmp_path / "b.npy", A.toarray())
    out = tmp_path / "x.npy"
    files = ("--matrix", tmp_path / "A.npz", "--rhs", tmp_path / "b.npy", "--out", out)
    assert pdeops("solve", *files).status == 0
    assert np.abs(np.load(out) - np.eye(N)).max() <= 1e-6


def test_hdf5_of_other_programs(pdeops, tmp_path):
    """Without MATLAB's header: A and b inside, and columns in C order."""
    out = tmp_path / "x.npy"
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        write_sparse(file, "A")
        file["b"] = np.stack([B, 2 * B], axis=1)
    done = pdeops("solve", "--matrix", tmp_path / "plain.h5", "--out", out)
    assert done.status == 0, done.stderr
    x = np.load(out)
    assert np.linalg.norm(B - A @ x[:, 0]) <= 1e-8 * np.linalg.norm(B)
    assert np.abs(x[:, 1] - 2 * x[:, 0]).max() <= 1e-6 * np.abs(x).max()


@pytest.mark.parametrize("dense", [False, True])
def test_version_4_of_matlab(pdeops, tmp_path, dense):
    path, out = tmp_path / "old.mat", tmp_path / "x.npy"
    savemat(path, {"A": A.toarray() if dense else sp.csc_matrix(A), "b": B}, format="4")
    assert path.read_bytes()[:4] != b"MATL"
    solved(pdeops("solve", "--matrix", path, "--out", out), out)
    if dense:  # as written by a big-endian machine
        head = np.array([1000, *A.shape, 0, 2], dtype=">i4").tobytes()
        rest = np.array([1000, N, 1, 0, 2], dtype=">i4").tobytes()
        content = head + b"A\0" + A.toarray().T.astype(">f8").tobytes()
        path.write_bytes(content + rest + b"b\0" + B.astype(">f8").tobytes())
        out.unlink()
        solved(pdeops("solve", "--matrix", path, "--out", out), out)


def cell(path):
    inside = np.empty((1, 2), dtype=object)
    inside[0, 0], inside[0, 1] = A.toarray(), B
    savemat(path, {"A": inside})


def cell_73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["refs"] = np.eye(2)
        file.create_dataset("A", data=np.array([[file["refs"].ref]], dtype=h5py.ref_dtype))
        file["A"].attrs["MATLAB_class"] = np.bytes_("cell")
    header(path)


def text_73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["A"] = np.array([[ord(c)] for c in "hello"], dtype="u2")
        file["A"].attrs["MATLAB_class"] = np.bytes_("char")
    header(path)


def complex_73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        pairs = np.zeros((2, 2), dtype=[("real", "f8"), ("imag", "f8")])
        pairs["real"], pairs["imag"] = np.eye(2), 1.0
        file["A"] = pairs
    header(path)


NOT_NUMBERS = {
    "a cell array": cell,
    "cell array": cell_73,
    "is text": lambda path: savemat(path, {"A": "hello"}),
    "A is text": text_73,
    "a struct": lambda path: savemat(path, {"A": {"x": 1.0}}),
    "complex numbers": complex_73,
}


@pytest.mark.parametrize("words", NOT_NUMBERS)
def test_variables_that_are_no_numbers(pdeops, tmp_path, words):
    path = tmp_path / "odd.mat"
    NOT_NUMBERS[words](path)
    refused(pdeops("solve", "--matrix", path), "odd.mat", words)


def test_unknown_preconditioners_list_all_names(pdeops, tmp_path):
    sp.save_npz(tmp_path / "A.npz", A)
    np.save(tmp_path / "b.npy", B)
    files = ("--matrix", tmp_path / "A.npz", "--rhs", tmp_path / "b.npy")
    names = [c["name"] for c in pdeops("solve", *files, "--list", "--json").json["choices"]]
    assert {"transform", "direct", "smoothed_aggregation"} < set(names)
    refused(pdeops("solve", *files, "--preconditioner", "foo"), *names)
    refused(pdeops("solve", *files, "--preconditioner", "smoothed_agregation"), "Did you mean")
    refused(
        pdeops("solve", *files, "--preconditioner", tmp_path),
        str(tmp_path),
        "the folder has no checkpoints",
        *names,
    )


BOTH = """
import sys
from pdeops.cli import main
for out, status in ((), 1), (("--out", "x.npy"), None):
    sys.argv = ["pdeops", "solve", "--matrix", "A.npz", "--rhs", "b.npy", *out]
    try:
        main()
        assert status is None
    except SystemExit as stop:
        assert (stop.code or None) == status, stop.code
"""


@pytest.mark.slow
def test_a_result_that_nobody_reads_is_no_success(tmp_path):
    """Standard output is closed: x must go to a file."""
    sp.save_npz(tmp_path / "A.npz", A)
    np.save(tmp_path / "b.npy", B)
    script = f"{sys.executable} -c '{BOTH}' >&-"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    run = {"shell": True, "cwd": tmp_path, "env": environment, "stderr": subprocess.PIPE}
    done = subprocess.run(script, **run, text=True)
    assert done.returncode == 0, done.stderr
    assert "Standard output is closed" in done.stderr
    assert (tmp_path / "x.npy").exists()
