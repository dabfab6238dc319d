"""`pdeops solve`: systems from files, each preconditioner, and files that are none."""

import gzip
import pickle

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.io import mmwrite, savemat

from pdeops.datasets import Darcy
from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Laplacian

from ..elasticity import triangle_elasticity
from .test_bad_input import refused

KEYS = {
    "setup_seconds", "solve_seconds", "iterations", "residual", "condition", "converged", "method",
    "reason",
}  # fmt: skip


def finite_elements(n=12):
    """A mass matrix plus stiffness of P1 elements on a skewed mesh: no stencil, not an M-matrix."""
    random = np.random.default_rng(1)
    points = random.permutation(n * n)
    i, j = np.divmod(points, n)
    near = (abs(i[:, None] - i) <= 1) & (abs(j[:, None] - j) <= 1)
    couplings = np.where(near, random.uniform(-1, 0.2, near.shape), 0)
    couplings = (couplings + couplings.T) / 2
    np.fill_diagonal(couplings, 0)
    return sp.csr_array(couplings + np.diag(abs(couplings).sum(1) + 0.01))


@pytest.mark.parametrize("name", ["multigrid", "amg", "ic0", "ssor", "jacobi", "none", None])
def test_every_preconditioner_solves_a_stencil(pdeops, darcy, name, tmp_path):
    A, b, files = darcy
    choice = () if name is None else ("--preconditioner", name)
    done = pdeops("solve", *files, *choice, "--rtol", 1e-9, "--out", tmp_path / "x.npy", "--json")
    assert done.status == 0, done.stderr
    assert set(done.json) == KEYS
    x = np.load(tmp_path / "x.npy")
    true = np.linalg.norm(b - A @ x) / np.linalg.norm(b)
    assert done.json["converged"]
    assert true <= 1e-9
    assert done.json["residual"] == pytest.approx(true, rel=1e-3)
    assert done.json["method"] == f"conjugate gradients, {name or 'multigrid'}"
    assert done.json["setup_seconds"] > 0
    assert done.json["solve_seconds"] > 0


def test_the_condition_number_is_that_of_the_preconditioned_matrix(pdeops, darcy):
    A, _, files = darcy
    values = np.linalg.eigvalsh(A.toarray())
    found = pdeops("solve", *files, "--preconditioner", "none", "--json").json["condition"]
    assert found == pytest.approx(values[-1] / values[0], rel=1e-2)
    assert 1 < pdeops("solve", *files, "--json").json["condition"] < 20


def test_the_table_for_people(pdeops, darcy):
    done = pdeops("solve", *darcy[2])
    assert done.status == 0
    assert all(key in done.stdout for key in KEYS)
    assert "5-point stencil on 38 x 31 nodes, variable couplings" in done.stderr
    assert "<= 1e-08 |b|" in done.stderr


@pytest.mark.parametrize("name", ["amg", "ic0", "ssor", "jacobi", "none", None])
def test_a_matrix_that_is_no_stencil(pdeops, write, name, tmp_path):
    A = finite_elements()
    b = np.ones(A.shape[0])
    choice = () if name is None else ("--preconditioner", name)
    done = pdeops("solve", *write(A, b), *choice, "--out", tmp_path / "x.npy", "--json")
    assert done.status == 0, done.stderr
    assert "no stencil" in done.stderr
    assert np.linalg.norm(b - A @ np.load(tmp_path / "x.npy")) <= 1e-8 * np.linalg.norm(b)
    assert (name or "direct, exact") in done.json["method"]


def test_what_is_for_stencils_says_so(pdeops, write, workshop):
    files = write(finite_elements(), np.ones(144))
    refused(pdeops("solve", *files, "--preconditioner", "multigrid"), "stencil", "--list")
    refused(pdeops("solve", *files, "--guess", workshop.run), "--guess", "stencil")


def test_definite_though_its_entries_do_not_show_it(pdeops, write):
    """Far off-diagonals outweigh the diagonal; CG finds out whether it is positive."""
    L = np.linalg.cholesky(np.eye(20) + 0.9 * np.ones((20, 20)))
    definite = sp.csr_array(L @ L.T)
    done = pdeops("solve", *write(definite, np.arange(20.0)), "--json")
    assert done.status == 0, done.stderr
    assert "Assuming A is positive definite" in done.stderr
    for shift, words in ((1.5, ("not converged", "breakdown")), (3.0, ("smallest diagonal",))):
        indefinite = sp.csr_array(definite - shift * sp.eye_array(20))
        done = pdeops("solve", *write(indefinite, np.arange(20.0)), "--preconditioner", "none")
        refused(done, *words, "positive definite")


def test_matrix_market_and_counted_binary(pdeops, darcy, tmp_path):
    A, b, _ = darcy
    mmwrite(tmp_path / "A.mtx", A, symmetry="symmetric")
    mmwrite(tmp_path / "b.mtx", b[:, None])
    (tmp_path / "b.bin").write_bytes(np.uint64(b.size).tobytes() + b.tobytes())
    for rhs in ("b.npy", "b.mtx", "b.bin"):
        out = tmp_path / f"{rhs}.x"
        done = pdeops(
            "solve", "--matrix", tmp_path / "A.mtx", "--rhs", tmp_path / rhs, "--out", out
        )
        assert done.status == 0, done.stderr
        assert np.linalg.norm(b - A @ np.load(out)) <= 1e-8 * np.linalg.norm(b)


def test_compressed_and_matlab_files(pdeops, darcy, tmp_path):
    """As matrix.nist.gov and the SuiteSparse collection have them; b from the file of A."""
    A, b, _ = darcy
    mmwrite(tmp_path / "A.mtx", A, symmetry="symmetric")
    (tmp_path / "A.mtx.gz").write_bytes(gzip.compress((tmp_path / "A.mtx").read_bytes()))
    savemat(tmp_path / "plain.mat", {"A": sp.csc_matrix(A), "b": b[:, None]})
    problem = {"A": sp.csc_matrix(A), "b": b[:, None], "name": "Group/name"}
    savemat(tmp_path / "struct.mat", {"Problem": problem})
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as file:
        group = file.create_group("Problem/A")
        csc = A.tocsc()
        group["data"], group["ir"] = csc.data, csc.indices.astype("u8")
        group["jc"] = csc.indptr.astype("u8")
        group.attrs["MATLAB_sparse"] = np.uint64(A.shape[0])
        file["Problem/b"] = b[None]
    with open(tmp_path / "new.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))
    for name in ("A.mtx.gz", "plain.mat", "struct.mat", "new.mat"):
        out = tmp_path / f"{name}.npy"
        given = ("--rhs", tmp_path / "b.npy") if name == "A.mtx.gz" else ()
        done = pdeops("solve", "--matrix", tmp_path / name, *given, "--out", out)
        assert done.status == 0, done.stderr
        assert np.linalg.norm(b - A @ np.load(out)) <= 1e-8 * np.linalg.norm(b)
    refused(pdeops("solve", "--matrix", tmp_path / "A.mtx.gz"), "--rhs is needed")
    savemat(tmp_path / "other.mat", {"K": {"x": 1.0}, "f": b})
    refused(pdeops("solve", "--matrix", tmp_path / "other.mat"), "other.mat", "it holds K, f")
    (tmp_path / "A.csv.gz").write_bytes(gzip.compress(b"1,2"))
    refused(pdeops("solve", "--matrix", tmp_path / "A.csv.gz"), "compressed", "Decompress")


def test_a_number_too_large_names_its_file(pdeops, tmp_path):
    head = "%%MatrixMarket matrix coordinate integer general\n"
    (tmp_path / "big.mtx").write_text(f"{head}1 1 1\n1 1 99999999999999999999\n")
    done = pdeops("solve", "--matrix", tmp_path / "big.mtx", "--rhs", tmp_path / "big.mtx")
    refused(done, "big.mtx", "out of range")


def test_several_right_hand_sides(pdeops, darcy, tmp_path):
    A, b, files = darcy
    both = np.stack([b, A @ b, np.zeros_like(b)], axis=1)
    for name in ("B.npy", "B.mtx"):
        np.save(tmp_path / name, both) if name == "B.npy" else mmwrite(tmp_path / name, both)
        out = tmp_path / f"x_{name}.npy"
        options = ("--rhs", tmp_path / name, "--out", out, "--json")
        done = pdeops("solve", *files[:2], *options)
        assert done.status == 0, done.stderr
        x = np.load(out)
        assert x.shape == both.shape
        r = np.linalg.norm(both - A @ x, axis=0)[:2] / np.linalg.norm(both, axis=0)[:2]
        assert r.max() <= 1e-8
        assert done.json["residual"] == pytest.approx(r.max(), rel=1e-2)


def test_the_list_of_methods(pdeops, darcy):
    done = pdeops("solve", *darcy[2], "--list", "--json")
    assert done.status == 0, done.stderr
    found = done.json["choices"]
    assert found[0]["name"] == "multigrid"
    assert {"transform", "direct", "amg", "ic0"} < {c["name"] for c in found}
    done = pdeops("solve", *darcy[2][:2], "--list")
    assert done.status == 0
    assert "default" in done.stdout


def test_an_output_that_cannot_be_written_is_found_out_first(pdeops, darcy, tmp_path):
    done = pdeops("solve", *darcy[2], "--out", "/proc/x.npy")
    refused(done, "cannot be written")
    assert "M: " not in done.stderr
    out = tmp_path / "never.npy"
    refused(pdeops("solve", *darcy[2], "--rtol", 0, "--out", out), "rtol")
    assert not out.exists()


def test_near_null_space_and_coordinates_from_files(pdeops, write, tmp_path):
    A, points = triangle_elasticity(30, clamped=True)
    files = write(A, np.ones(A.shape[0]))
    np.save(tmp_path / "points.npy", points)
    np.save(tmp_path / "B.npy", np.eye(A.shape[0])[:, :3])
    amg = ("--preconditioner", "amg", "--json")
    done = pdeops("solve", *files, "--coordinates", tmp_path / "points.npy", *amg)
    assert done.status == 0, done.stderr
    better = done.json["iterations"]
    done = pdeops("solve", *files, "--near-nullspace", tmp_path / "B.npy", *amg)
    assert done.status == 0, done.stderr
    assert better < done.json["iterations"]
    refused(pdeops("solve", *files, "--coordinates", tmp_path / "no.npy"), "no.npy")


def test_not_converged_is_an_exit_status_and_x_is_kept(pdeops, darcy, tmp_path):
    A, b, files = darcy
    out = tmp_path / "x.npy"
    arguments = ("--preconditioner", "none", "--max-iterations", 5, "--out", out, "--json")
    done = pdeops("solve", *files, *arguments)
    assert done.status == 1
    assert not done.json["converged"]
    assert done.json["iterations"] == 5
    assert "not converged: max_iterations = 5" in done.stderr
    residual = np.linalg.norm(b - A @ np.load(out)) / np.linalg.norm(b)
    assert done.json["residual"] == pytest.approx(residual)


@pytest.mark.parametrize("kind", ["stencil", "matrix"])
def test_singular_systems(pdeops, write, kind, tmp_path):
    """Consistent: solved. Without a solution: the projected system, and "inconsistent"."""
    A = Laplacian(Grid((18, 16), boundary="neumann")).to_csr()
    if kind == "matrix":
        order = np.random.default_rng(3).permutation(A.shape[0])
        A = sp.csr_array(A[order][:, order])
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    done = pdeops("solve", *write(A, b - b.mean()), "--json")
    assert done.status == 0, done.stderr
    done = pdeops("solve", *write(A, b), "--out", tmp_path / "x.npy", "--json")
    assert done.status == 1
    refused(done, "inconsistent", "outside the range of A")
    assert done.json["reason"].startswith("inconsistent: ")
    x = np.load(tmp_path / "x.npy")
    assert np.linalg.norm(b - b.mean() - A @ x) <= 2e-8 * np.linalg.norm(b)
    done = pdeops("solve", *write(A, b - b.mean() + 1e-4), "--rtol", 1e-3, "--json")
    assert done.status == 0, done.stderr


def test_pressure_systems_with_ghost_rows(pdeops, shared_data, tmp_path):
    """A frame of a flow solver, consistent as it is, and with a part that no x can take away."""
    dcdm = shared_data / "dcdm"
    A = sp.load_npz(dcdm / "A_Sparse_3D_N15.npz")
    b = np.fromfile(dcdm / "div_v_star_N15_1.bin")[1:]
    files = ("--matrix", dcdm / "A_Sparse_3D_N15.npz", "--rhs", dcdm / "div_v_star_N15_1.bin")
    for name, most in ((None, 2), ("multigrid", 13), ("amg", 10), ("ic0", 45)):
        out = tmp_path / f"{name}.npy"
        choice = () if name is None else ("--preconditioner", name)
        done = pdeops("solve", *files, *choice, "--out", out, "--json")
        assert done.status == 0, done.stderr
        assert done.json["iterations"] <= most
        assert np.linalg.norm(b - A @ np.load(out)) <= 1e-8 * np.linalg.norm(b)
    assert "1176 ghosts" in done.stderr

    kernel = np.full(len(b), len(b) ** -0.5)  # A has row sums 0
    np.save(tmp_path / "b.npy", b + 1e-4 * np.linalg.norm(b) * kernel)
    wrong = ("--matrix", dcdm / "A_Sparse_3D_N15.npz", "--rhs", tmp_path / "b.npy")
    done = pdeops("solve", *wrong, "--json")
    assert done.status == 1
    assert done.json["residual"] == pytest.approx(1e-4, rel=0.01)
    refused(done, "inconsistent: 1.0e-04 |b|")
    assert pdeops("solve", *wrong, "--rtol", 1e-3).status == 0


@pytest.mark.parametrize(
    ("matrix", "name", "most"),
    [("A_Sparse_N63", "dcdm_poisson", 5), ("A_Sparse_3D_N15", "dcdm_poisson3d", 8)],
)
def test_conjugate_directions_of_a_shipped_network(
    pdeops, shared_data, tmp_path, matrix, name, most
):
    """On whole systems, ghosts eliminated and put back; without a solution,
    "inconsistent" is the reason."""
    file = shared_data / "dcdm" / f"{matrix}.npz"
    A = sp.load_npz(file)
    b = A @ np.random.default_rng(0).standard_normal(A.shape[0])
    np.save(tmp_path / "b.npy", b)
    files = ("--matrix", file, "--rhs", tmp_path / "b.npy", "--preconditioner", name)
    done = pdeops("solve", *files, "--out", tmp_path / "x.npy", "--json")
    assert done.status == 0, done.stderr
    assert done.json["method"] == f"conjugate directions, {name}"
    assert done.json["iterations"] <= most
    assert done.json["condition"] is None
    x = np.load(tmp_path / "x.npy")
    assert np.linalg.norm(b - A @ x) <= 1e-8 * np.linalg.norm(b)
    np.save(tmp_path / "b.npy", b + (A.diagonal() > 0) * b.std() / 10)
    refused(pdeops("solve", *files), "inconsistent", "outside the range of A")


def test_networks_of_directions_take_any_stencil_and_nothing_else(pdeops, darcy, write):
    """Neither variable couplings nor open sides were in its training: more iterations, the same
    tolerance."""
    files = darcy[2]
    done = pdeops("solve", *files, "--preconditioner", "dcdm_poisson", "--json")
    assert done.status == 0, done.stderr
    assert done.json["residual"] <= 1e-8
    refused(pdeops("solve", *files, "--preconditioner", "dcdm_poisson3d"), "trained for 3 axes")
    files = write(finite_elements(), np.ones(144))
    refused(pdeops("solve", *files, "--preconditioner", "dcdm_poisson"), "stencil", "amg, ic0")


def test_start_from_the_prediction_of_a_run(pdeops, write, workshop):
    problem = Darcy("piecewise")
    grid = problem.grid((33, 33))
    A = problem.operator(problem.sample_input(grid, seed=7, index=0), grid).to_csr()
    files = write(A, np.ones(A.shape[0]))
    done = pdeops("solve", *files, "--guess", workshop.run, "--json")
    assert done.status == 0, done.stderr
    assert done.json["converged"]
    assert "guess of" in done.json["method"]
    refused(pdeops("solve", *files, "--guess", "no_such_run"), "There is no run")
    A = Laplacian(Grid((9, 9, 9))).to_csr()
    done = pdeops("solve", *write(A, np.ones(A.shape[0])), "--guess", workshop.run)
    refused(done, "darcy", "3 axes")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--preconditioner", "multgrid"), "Did you mean 'multigrid'"),
        (("--rtol", 0), "rtol must be positive"),
        (("--rtol", "nan"), "rtol must be positive"),
        (("--max-iterations", -3), "max_iterations"),
        (("--out", "no/such/folder/x.npy"), "folder"),
    ],
)
def test_arguments_that_are_wrong(pdeops, darcy, arguments, word):
    refused(pdeops("solve", *darcy[2], *arguments), word)


def test_files_are_not_overwritten(pdeops, darcy, tmp_path):
    before = (tmp_path / "b.npy").read_bytes()
    refused(pdeops("solve", *darcy[2], "--out", tmp_path / "b.npy"), "exists")
    assert (tmp_path / "b.npy").read_bytes() == before


def test_a_preconditioner_file_that_is_not_ours(pdeops, darcy, tmp_path, workshop):
    for content in (b"<!DOCTYPE html>", pickle.dumps({"weights": 1})):
        (tmp_path / "weights.pt").write_bytes(content)
        done = pdeops("solve", *darcy[2], "--preconditioner", tmp_path / "weights.pt")
        refused(done, "not a checkpoint")
    refused(pdeops("solve", *darcy[2], "--preconditioner", workshop.run), "networks inside solvers")


def test_b_of_zeros(pdeops, write):
    A = Laplacian(Grid((9, 9))).to_csr()
    done = pdeops("solve", *write(A, np.zeros(A.shape[0])), "--json")
    assert done.status == 0
    assert done.json["iterations"] == 0
    assert done.json["condition"] is None


@pytest.mark.parametrize(("contrast", "side"), [(12.0, 1.0), (12.0, 9.0), (1e3, 3.0), (1e9, 1.0)])
def test_multigrid_is_the_default_for_stencils(pdeops, contrast, side, write):
    """In single precision; in double where a jumps beyond it. By lines if one axis dominates."""
    x, y = torch.meshgrid(*[torch.linspace(0, 9, 130).double() for _ in range(2)], indexing="ij")
    a = torch.where(torch.sin(x + y) * torch.sin(x - 2 * y) > 0, contrast, 1.0).double()
    A = Diffusion(a, Grid((130, 130), (side, 1.0), "dirichlet", "interior"))
    b = np.random.default_rng(0).standard_normal(130 * 130)
    done = pdeops("solve", *write(A.to_csr(), b), "--rtol", "1e-6", "--json")
    assert done.json["method"] == "conjugate gradients, multigrid"
    assert done.json["converged"]
    assert done.json["iterations"] < 20
