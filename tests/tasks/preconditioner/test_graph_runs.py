"""A learned preconditioner of sparse matrices from its recipe to a solve: trained, loaded for any
matrix, refused with a reason, evaluated."""

import logging
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import cg as scipy_cg

import pdeops
from pdeops.batch import Batch
from pdeops.cli.solve import _method
from pdeops.datasets.systems import MatrixSystems
from pdeops.datasets.systems.matrices import KINDS
from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.models import GraphInverse
from pdeops.nn.matrix_graph import MatrixGraph
from pdeops.solvers import Laplacian, Matrix
from pdeops.solvers.choice.system import System
from pdeops.solvers.krylov.approximate_inverse import unit_diagonal
from pdeops.tasks import load_recipe, load_run, train
from pdeops.tasks.preconditioner.conjugate_gradients import MEASURES, ConjugateGradients
from pdeops.tasks.preconditioner.evaluation import evaluate_systems, to_markdown
from pdeops.tasks.preconditioner.products import product

RECIPE = {
    "task": "preconditioner",
    "name": "small",
    "systems": {
        "name": "MatrixSystems",
        "sizes": [30, 40],
        "num_samples": 4,
        "kinds": ["triangles_jumps", "graph"],
        "unseen": ["nine_points"],
    },
    "model": {"name": "GraphInverse", "hidden_channels": 4, "n_layers": 1},
    "objective": {"name": "ConjugateGradients", "steps": 3},
    "training": {"epochs": 1, "batch_size": 4},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run, and what training reported."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "small"
    return folder, train(load_recipe(RECIPE), out=folder, device="cpu")


@pytest.fixture(scope="module")
def run(trained):
    return trained[0]


def draw(kind, size=200):
    return KINDS[kind](size, np.random.default_rng(5))


def test_validation_has_unseen_meshes_and_unseen_kinds(trained):
    found = trained[1]["validation"]
    assert set(found) == {"contraction", "contraction_unseen_kinds"}
    assert all(0 < value < 1 for value in found.values())


@pytest.mark.parametrize("kind", ["elasticity", "tetrahedra"])
def test_scipys_cg_with_any_matrix(run, kind):
    A = sp.csr_matrix(draw(kind))
    b, counts = np.ones(A.shape[0]), []
    for M in (None, pdeops.load_preconditioner(run, A)):
        steps = []
        x, info = scipy_cg(A, b, M=M, rtol=1e-8, callback=steps.append)
        assert info == 0
        assert np.linalg.norm(b - A @ x) < 2e-8 * np.linalg.norm(b)
        counts.append(len(steps))
    assert counts[1] < counts[0] / 2


def test_operators_and_other_formats_give_the_same_m(run):
    A = Laplacian(Grid((9, 8)))
    r = np.random.default_rng(0).standard_normal(A.shape[0])
    z = pdeops.load_preconditioner(run, A) @ r
    for matrix in (A.to_csr(), sp.coo_array(A.to_csr()), sp.csc_matrix(A.to_csr())):
        np.testing.assert_array_equal(pdeops.load_preconditioner(run, matrix) @ r, z)


def test_solve_by_the_name_of_a_run(run):
    system = System.of(draw("graph"))
    b = np.ones((system.size, 2))
    for name in (str(run), "fsai"):
        solution = pdeops.solve(system, b, method=_method(name, system))
        assert solution.converged
        assert name in solution.method
        assert np.linalg.norm(b - system.csr @ solution.x.numpy()) < 2e-8 * np.linalg.norm(b)


@pytest.mark.parametrize(
    "shipped", ["", pytest.param("learned_aggregation", marks=pytest.mark.slow)]
)
def test_bad_input(run, tmp_path, shipped):
    A, run = draw("graph", 40), shipped or run
    skewed = A.tolil()
    skewed[0, 1] = 9.0
    negative = A - 100 * sp.diags_array(A.diagonal())
    indefinite = A.tolil()
    indefinite[3, 3] = -1.0
    for matrix, why in (
        (skewed.tocsr(), "not symmetric"),
        (negative, "negative definite"),
        (indefinite.tocsr(), "indefinite"),
    ):
        with pytest.raises(ValueError, match=why):
            pdeops.load_preconditioner(run, matrix)
    one = pdeops.load_preconditioner(run, sp.csr_array([[4.0]]))
    assert one @ np.ones(1) > 0
    hole = sp.block_diag([A, sp.csr_array((1, 1))], format="csr")
    assert np.isfinite(pdeops.load_preconditioner(run, hole) @ np.ones(41)).all()
    bomb = tmp_path / "weights.pt"
    bomb.write_bytes(pickle.dumps({"not": "ours"}))
    with pytest.raises(ValueError, match="checkpoint"):
        pdeops.load_preconditioner(bomb, A)


def test_a_kind_never_seen_is_used_with_a_note(caplog):
    model = GraphInverse(1, hidden_channels=4, n_layers=1)
    for seed in range(3):
        seen = KINDS["triangles_jumps"](900, np.random.default_rng(seed))
        scaled, _ = unit_diagonal(Matrix(seen, symmetric=True))
        model.network(MatrixGraph.of_matrix(scaled))  # in training mode, which records the ranges
    model.eval()
    with caplog.at_level(logging.INFO, logger="pdeops"):
        model.on(Matrix(draw("triangles_jumps"), symmetric=True))
        assert "unlike those" not in caplog.text
        M = model.on(Matrix(draw("elasticity3d"), symmetric=True))
    assert "of the rows are unlike those of the matrices in training" in caplog.text
    check_spd(M, rtol=1e-5)


OWN = """
import numpy as np

def inverse(A, grid):
    dense = np.linalg.inv(A.toarray())
    return lambda b: dense @ b

def wrong(A, grid, rtol):
    return lambda b: (0.9 * b, 7)

def jacobi(A, grid):
    return lambda b: b
"""


def test_evaluation_has_iterations_products_and_seconds(run, tmp_path):
    own = tmp_path / "own.py"
    own.write_text(OWN)
    solver = [f"{own}:{name}" for name in ("inverse", "wrong")]
    with pytest.raises(ValueError, match="a method 'jacobi' already"):
        evaluate_systems(load_run(run), num_systems=1, size=60, solver=[f"{own}:jacobi"])
    report = evaluate_systems(load_run(run), num_systems=1, size=60, solver=solver)
    found = report["methods"]
    assert found["inverse"]["iterations"] == 0
    assert "failed" not in found["inverse"]
    assert found["wrong"]["failed"].startswith("|b - A x| = ")
    assert "Not measured" not in to_markdown(report)
    report = {**report, "solver": []}
    names = {"small", "jacobi", "ic0", "chebyshev", "fsai", "amg", "PyAMG Ruge-Stueben"}
    assert names | {"PyAMG aggregation", "PyAMG tuned", "sparse LU"} <= set(found)
    assert "Not measured: CHOLMOD and BoomerAMG" in to_markdown(report)
    assert "multigrid" not in found
    assert found["jacobi"]["products"] == found["jacobi"]["iterations"]
    assert found["chebyshev"]["products"] == 9 * found["chebyshev"]["iterations"]
    small = found["small"]["products"] / found["small"]["iterations"]
    assert 6 < small < 7  # of degree 2; L has the diagonal and half of the other entries
    assert set(found["small"]) >= {"setup_seconds", "seconds_at_1", "seconds_at_100"}


def test_the_product_of_a_batch_is_that_of_each_matrix():
    systems = MatrixSystems(sizes=(31, 31), kinds=("elasticity", "graph"))
    batch = systems.collate([systems[0], systems[1]])
    image = product(batch.operator)(batch.target)
    for i in range(2):
        e = systems[i].target.numpy()
        expected = systems.matrix(i) @ e
        np.testing.assert_allclose(image[i, : len(e)], expected, atol=1e-12)


@pytest.mark.parametrize("measure", sorted(MEASURES))
def test_measures_of_the_exact_inverse_and_of_jacobi(measure):
    """With M = A⁻¹ each is at its minimum; with Jacobi's M it is far above."""
    systems = MatrixSystems(sizes=(30, 30), kinds=("graph",))
    batch = systems.collate([systems[0]])
    inverse = torch.from_numpy(np.linalg.inv(systems.matrix(0).toarray()))

    class Exact(torch.nn.Module):
        def at(self, operator):
            return lambda r: r @ inverse

    objective = ConjugateGradients(steps=6, measure=measure)
    best, plain = objective(Exact(), batch), objective(GraphInverse(1, degree=0), batch)
    assert plain > best + 0.1
    assert isinstance(batch, Batch)
