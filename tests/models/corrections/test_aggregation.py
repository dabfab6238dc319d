"""Learned smoothed aggregation: valid in CG whatever its weights, classical untrained, equivariant,
and exact where the near-null space is interpolated."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.datasets.systems.matrices import KINDS
from pdeops.datasets.systems.meshes import delaunay, elasticity
from pdeops.models import LearnedAggregation
from pdeops.nn.matrix_graph import MatrixGraph
from pdeops.nn.prolongation import Pattern
from pdeops.solvers import Matrix, cg, rigid_body_modes
from pdeops.solvers.krylov.approximate_inverse import unit_diagonal
from pdeops.solvers.multigrid import aggregation
from pdeops.solvers.multigrid.aggregation import Aggregates, AggregationCycle, chebyshev, jacobi

FIVE = ("stencil_jumps", "triangles_jumps", "elasticity", "graph", "tetrahedra")


@pytest.fixture(autouse=True)
def small_levels(monkeypatch):
    """Several levels on the matrices of a test."""
    monkeypatch.setattr(aggregation, "COARSEST", 9)


def operator(kind, size=90, seed=1):
    A = KINDS[kind](size, np.random.default_rng(seed))
    return Matrix(A, symmetric=True, positive_definite=True)


def build(seed=0, *, awake=True):
    torch.manual_seed(seed)
    model = LearnedAggregation(1, hidden_channels=6).double()
    if awake:  # a fresh network is zero
        for head in (model.network.edge_head, model.network.node_head):
            torch.nn.init.normal_(head.weight, std=2.0)
            torch.nn.init.normal_(head.bias, std=2.0)
    return model


def dense(M):
    """M as a matrix, from a cycle in float64."""
    return M.apply(torch.eye(M.shape[0], dtype=torch.float64))


def trained_form(model, A):
    """M of the differentiable form."""
    coo = A.to_csr().tocoo()
    rows, columns = (torch.from_numpy(i.astype(np.int64))[None] for i in coo.coords)
    correction = model.at((rows, columns, torch.from_numpy(coo.data)[None]))
    with torch.no_grad():
        one = torch.eye(A.shape[0], dtype=torch.float64)
        return torch.stack([correction(e[None, None])[0, 0] for e in one])


def in_double(A, model, **options):
    return AggregationCycle(A, model.values, theta=model.theta, dtype=torch.float64, **options)


def of_level(A, modes=None):
    """The aggregates of the finest level."""
    scaled, scale = unit_diagonal(A)
    block = aggregation.unknowns_per_node(scaled)
    B = aggregation.constants(len(scale), block) if modes is None else modes
    return Aggregates.of(scaled, B / scale[:, None], block)


def spectrum(M, A):
    """The eigenvalues of M A for symmetric M."""
    C = torch.linalg.cholesky(torch.from_numpy(A.toarray()))
    return torch.linalg.eigvalsh(C.T @ ((M + M.T) / 2) @ C)


@pytest.mark.parametrize(
    ("kinds", "draws"),
    [(("triangles_jumps", "elasticity"), 2), pytest.param(FIVE, 50, marks=pytest.mark.slow)],
)
def test_is_symmetric_and_positive_definite_for_any_weights(kinds, draws):
    """M of the whole cycle; S is positive definite and S A below 2 on each level."""
    for kind in kinds:
        for seed in range(1 if draws < 10 else 4):
            A = operator(kind, 60, seed)
            for draw in range(draws):
                M = in_double(A, build(draw))
                assert len(M.levels) > 1
                full = dense(M)
                assert (full - full.T).abs().max() <= 1e-12 * full.abs().max()
                ends = spectrum(full, A.to_csr())[[0, -1]]
                assert ends[0] > 1e-6
                assert ends[1] <= 1 + 1e-10
                for level in M.levels:
                    S = torch.from_numpy(level.S.toarray())
                    inner = spectrum(S, level.A)
                    assert torch.linalg.eigvalsh(S)[0] > 0
                    assert inner[-1] < 2


def test_an_unbounded_smoother_would_diverge(monkeypatch):
    """Negative control: with Δ as the network has it, S is indefinite, and so is M."""
    A = operator("triangles_jumps", 60)
    assert spectrum(dense(in_double(A, build(1))), A.to_csr())[0] > 0
    monkeypatch.setattr(MatrixGraph, "norm_bound", lambda self, off, on: torch.zeros(()).double())
    assert spectrum(dense(in_double(A, build(1))), A.to_csr())[0] < 0


@pytest.mark.parametrize("kind", ["triangles_jumps", "elasticity"])
def test_untrained_it_is_classical(kind):
    A = operator(kind)
    expected = dense(AggregationCycle(A, jacobi, dtype=torch.float64))
    for M in (dense(in_double(A, build(awake=False))), trained_form(build(awake=False), A)):
        torch.testing.assert_close(M, expected, rtol=1e-11, atol=1e-13)
    assert (dense(in_double(A, build())) - expected).norm() > 0.1 * expected.norm()


def test_the_classical_hierarchy_is_that_of_pyamg():
    """P - T is PyAMG's step of damped Jacobi, and the cycle that of dense matrices."""
    import pyamg

    found = of_level(operator("triangles_jumps"))
    S, P = jacobi(found)
    A, T = sp.csr_matrix(found.A), sp.csr_matrix(found.T)
    smooth = pyamg.aggregation.smooth.jacobi_prolongation_smoother(A, T, A, found.B)
    step, its = (T - P).toarray(), (T - smooth).toarray()
    factor = (step * its).sum() / (its * its).sum()
    np.testing.assert_allclose(step, factor * its, atol=1e-12)
    assert 0.8 < factor <= 1.0 + 1e-6  # c bounds the eigenvalue that PyAMG estimates
    inside = np.diff(found.T.indptr) > 0
    assert inside.mean() > 0.9
    np.testing.assert_allclose((found.T @ found.coarse)[inside], found.B[inside], atol=1e-12)

    M = AggregationCycle(operator("triangles_jumps"), chebyshev, dtype=torch.float64)
    X = np.linalg.inv((M.levels[-1].P.T @ M.levels[-1].A @ M.levels[-1].P).toarray())
    for level in reversed(M.levels):
        A, S, P = (matrix.toarray() for matrix in (level.A, level.S, level.P))
        one = np.eye(len(A))
        X = (one - (one - S @ A) @ (one - P @ X @ P.T @ A) @ (one - S @ A)) @ np.linalg.inv(A)
    full = dense(M).numpy() / np.outer(M._scale, M._scale)
    np.testing.assert_allclose(full, X, atol=1e-9 * abs(X).max())
    # 1 - x s(x) is the Chebyshev polynomial on [LOW, 1].
    x = np.linspace(0, 1, 7)
    t = np.polynomial.chebyshev.Chebyshev.basis(2, domain=[aggregation.LOW, 1.0])
    first, second = aggregation.CHEBYSHEV
    np.testing.assert_allclose(1 - x * (first - second * x), t(x) / t(0.0), atol=1e-12)


def test_the_loop_is_what_is_trained():
    for kind in ("triangles_jumps", "elasticity"):
        A, model = operator(kind), build(3)
        torch.testing.assert_close(
            trained_form(model, A), dense(in_double(A, model)), rtol=1e-8, atol=1e-10
        )
        single, r = model.on(A), torch.randn(2, A.shape[0], dtype=torch.float64)
        expected = r @ dense(in_double(A, model))
        torch.testing.assert_close(single @ r, expected, rtol=1e-3, atol=1e-4)


def rigid(size=90):
    """Plane strain, its nodes' rigid-body modes."""
    mesh = delaunay(size // 2, np.random.default_rng(0))
    x = np.random.default_rng(1).random((mesh.unknowns, 2))
    A = Matrix(elasticity(mesh, 1.0, 1.0), symmetric=True, positive_definite=True)
    return A, rigid_body_modes(x)


@pytest.mark.parametrize("modes", [1, 3])
def test_the_near_null_space_is_interpolated_as_by_the_classical_p(modes, monkeypatch):
    A, B = (operator("triangles_jumps"), None) if modes == 1 else rigid()
    found, model = of_level(A, B), build(2)
    classical, (_, P) = jacobi(found)[1], model.values(found)
    assert found.coarse.shape[1] == modes
    size = abs(classical @ found.coarse).max()
    assert abs(P - classical).max() > 1e-2
    np.testing.assert_allclose(P @ found.coarse, classical @ found.coarse, atol=1e-11 * size)
    pattern = abs(found.A) @ abs(found.T)
    assert not np.any((P.toarray() != 0) & (pattern.toarray() == 0))
    # Negative control: the update of the network as it is.
    monkeypatch.setattr(Pattern, "kept", lambda self, U, size: U)
    free = model.values(found)[1]
    assert abs((free - classical) @ found.coarse).max() > 1e-2 * size


def test_is_equivariant_given_the_aggregates():
    """To a permutation of the unknowns and of the aggregates, and to signs of them."""
    random, model = np.random.default_rng(0), build(4)
    found = of_level(operator("triangles_jumps"))
    n, m = found.T.shape
    order, coarse = random.permutation(n), random.permutation(m)
    sign = sp.diags_array(random.choice([-1.0, 1.0], n))
    turned = sp.csr_array(sign @ found.A @ sign)[order][:, order]
    T = sp.csr_array(sign @ found.T)[order][:, coarse]
    turned.sort_indices()
    T.sort_indices()
    other = Aggregates(turned, (sign @ found.B)[order], T, found.coarse[coarse])
    S, P = model.values(found)
    expected = (sp.csr_array(sign @ S @ sign)[order][:, order], (sign @ P)[order][:, coarse])
    for ours, image in zip(model.values(other), expected, strict=True):
        np.testing.assert_allclose(ours.toarray(), image.toarray(), atol=1e-11)


def test_is_equivariant_to_scaling_with_its_near_null_space():
    A, model = operator("triangles_jumps"), build(5)
    s = 10 ** np.random.default_rng(1).uniform(-2, 2, A.shape[0])
    scaled = Matrix(sp.diags_array(s) @ A.to_csr() @ sp.diags_array(s), symmetric=True)
    M = dense(in_double(A, model))
    N = dense(in_double(scaled, model, near_nullspace=1 / s[:, None]))
    torch.testing.assert_close(N * torch.from_numpy(np.outer(s, s)), M, rtol=1e-7, atol=1e-9)
    wrong = dense(in_double(scaled, model)) * torch.from_numpy(np.outer(s, s))
    assert (wrong - M).norm() > 1e-2 * M.norm()  # constants are not near its null space


def test_gradients_are_those_of_differences():
    A, model = operator("triangles_jumps", 30), build(0)  # two levels
    for head in (model.network.edge_head, model.network.node_head):
        for p in head.parameters():
            p.data *= 0.02  # Δ is within its bound
    coo = A.to_csr().tocoo()
    rows, columns = (torch.from_numpy(i.astype(np.int64))[None] for i in coo.coords)
    b = torch.randn(1, 1, A.shape[0], dtype=torch.float64)

    def loss():
        return (b * model.at((rows, columns, torch.from_numpy(coo.data)[None]))(b)).sum()

    loss().backward()
    p = model.network.lift.weight
    direction = torch.randn_like(p)
    expected, values = (p.grad * direction).sum().item(), []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            p += step * direction
            values.append(loss().item())
            p -= step * direction
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(expected, rel=1e-4)


def test_refuses_what_is_not_definite_and_takes_what_is_small():
    graph = KINDS["graph"](30, np.random.default_rng(1))
    for A in (-graph, graph - 1e3 * sp.eye_array(30)):
        with pytest.raises(ValueError, match="not positive definite"):
            build().on(Matrix(A, symmetric=True))
    skewed = graph.tolil()
    skewed[0, 1] = 5.0
    with pytest.raises(ValueError, match="needs a symmetric A"):
        build().on(Matrix(skewed.tocsr()))
    with pytest.raises(ValueError, match="one row per unknown and one column per vector"):
        build().on(Matrix(graph), near_nullspace=np.ones((29, 1)))
    one = build().on(Matrix(sp.csr_array([[4.0]])))
    assert one.apply(torch.ones(1, dtype=torch.float64)).item() == pytest.approx(0.25)
    hole = sp.block_diag([graph, sp.csr_array((1, 1))], format="csr")
    diagonal = sp.diags_array(np.arange(1.0, 40.0), format="csr")
    for A in (hole, diagonal):
        M = build().on(Matrix(A, symmetric=True, positive_definite=True))
        assert (dense(M).diagonal() > 0).all()
    for arguments in ({"ndim": 2}, {"hidden_channels": 0}, {"theta": 1.0}):
        with pytest.raises(ValueError, match=r"must be|ndim = 2"):
            LearnedAggregation(**arguments)


def test_takes_more_vectors_than_an_aggregate_has_unknowns():
    """Pairs of unknowns and three vectors: one column of each aggregate is zero."""
    pair = sp.csr_array([[2.0, -1.9], [-1.9, 2.0]])
    A = Matrix(sp.block_diag([pair] * 30, format="csr"), symmetric=True, positive_definite=True)
    B = np.random.default_rng(0).standard_normal((60, 3))
    M = dense(in_double(A, build(), near_nullspace=B, block=1))
    assert spectrum(M, A.to_csr())[0] > 1e-6


def test_takes_a_singular_matrix_on_its_range():
    path = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(60, 60)).tolil()
    path[0, 0] = path[59, 59] = 1.0
    A = Matrix(path.tocsr())
    b = A @ torch.randn(60, dtype=torch.float64)
    assert cg(A, b, M=build(awake=False).on(A), rtol=1e-8).converged


def test_a_level_of_which_no_coupling_is_strong_is_only_smoothed():
    found = of_level(Matrix(sp.eye_array(30, format="csr"), symmetric=True))
    assert found.T.shape == (30, 0)
    S, P = build(1).values(found)
    assert P.shape == (30, 0)
    assert (S.diagonal() > 0).all()
