"""The learned sparse approximate inverse: valid in CG whatever its weights, equivariant, Jacobi
untrained."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.datasets.systems.matrices import KINDS
from pdeops.kernels.approximate_inverse import FORMS, coefficients
from pdeops.models.corrections.graph_inverse import (
    FactoredGraphInverse,
    GraphInverse,
)
from pdeops.nn.matrix_graph import GraphNetwork, MatrixGraph
from pdeops.solvers import FactoredApproximateInverse, IncompleteCholesky, Matrix
from pdeops.solvers.krylov.approximate_inverse import ApproximateInverse

FIVE = ("stencil_jumps", "triangles_jumps", "elasticity", "graph", "tetrahedra")


def matrix(kind, size=90, seed=1):
    return KINDS[kind](size, np.random.default_rng(seed))


def operator(A):
    return Matrix(A, symmetric=True, positive_definite=True)


def build(seed=0, *, awake=True, dtype=torch.float64, form=GraphInverse, **arguments):
    torch.manual_seed(seed)
    model = form(1, **arguments).to(dtype).eval()
    if awake:  # a fresh network gives G = I
        for head in (model.network.edge_head, model.network.node_head):
            torch.nn.init.normal_(head.weight)
            torch.nn.init.normal_(head.bias)
    return model


def as_batch(A):
    coo = sp.coo_array(A)
    rows, columns = (torch.from_numpy(i.astype(np.int64))[None] for i in coo.coords)
    return rows, columns, torch.from_numpy(coo.data)[None]


def dense(model, A):
    """M of the differentiable form."""
    n = A.shape[0]
    correction = model.at(as_batch(A))
    with torch.no_grad():
        rows = [correction(e[None, None])[0, 0] for e in torch.eye(n, dtype=torch.float64)]
    return torch.stack(rows)


def iterations(A, b, model, rtol=1e-8):
    """CG in float64 until √⟨r, M r⟩ has decreased by rtol, which no diagonal scaling changes."""
    M = model.at(as_batch(A))

    def apply(r):
        with torch.no_grad():
            return M(torch.from_numpy(r)[None, None])[0, 0].numpy()

    r = b.copy()
    z = apply(r)
    p, rz = z, r @ z
    goal = rtol**2 * rz
    for k in range(1, 400):
        Ap = A @ p
        alpha = rz / (p @ Ap)
        r = r - alpha * Ap
        z = apply(r)
        rz, before = r @ z, rz
        if rz <= goal:
            return k
        p = z + rz / before * p
    raise AssertionError("CG did not converge")


def dense_factor(model, A):
    """L and Â of the differentiable form, dense, and the graph."""
    graph = MatrixGraph.of(*as_batch(A), A.shape[0])
    with torch.no_grad():
        off, on = model.factor(graph)
    place = (graph.rows, graph.columns)
    hat = torch.eye(A.shape[0]).double().index_put(place, graph.values)
    return torch.diag(on).index_put(place, off), hat, graph


def exceeds(model, A):
    """Whether the largest eigenvalue of L Â Lᵀ is above the interval of an untrained model."""
    L, hat, graph = dense_factor(model, A)
    return torch.linalg.eigvalsh(L @ hat @ L.T)[-1] > 2 * graph.bound[0]


@pytest.mark.parametrize(
    ("kinds", "draws"), [(FIVE, 2), pytest.param(FIVE, 50, marks=pytest.mark.slow)]
)
def test_is_symmetric_and_positive_definite_for_any_weights(kinds, draws):
    """Also for weights with which L Â Lᵀ has large eigenvalues."""
    beyond = 0
    for kind in kinds:
        for seed in range(1 if draws < 10 else 4):
            A = matrix(kind, 60, seed)
            for draw in range(draws):
                model = build(draw, degree=2 * (draw % 3))
                M = dense(model, A)
                assert (M - M.T).abs().max() <= 1e-12 * M.abs().max()
                S = torch.from_numpy(1 / np.sqrt(A.diagonal()))
                inner = ((M + M.T) / 2) / (S[:, None] * S)
                low, high = torch.linalg.eigvalsh(inner)[[0, -1]]
                assert low >= 0.99e-3 - 1e-13 * high  # ε
                beyond += exceeds(model, A)
    assert beyond > 0


def test_an_odd_degree_would_be_indefinite():
    """Negative control of `coefficients`: the refused degree 1, beyond the interval."""
    with pytest.raises(ValueError, match="must be even"):
        GraphInverse(1, degree=1)

    def p(x, steps):
        d = z = steps[0][0]
        for first, carry in steps[1:]:
            d = carry * d + first * (1 - x * z)
            z = z + d
        return z

    x = np.geomspace(1e-4, 50, 400)
    for degree in (2, 4, 8):
        assert (p(x, coefficients(degree, 1.0)) > 0).all()
    odd = coefficients(2, 1.0)[:2]  # one step less
    assert (p(x, odd) < 0).any()


def test_x_p_is_the_chebyshev_polynomial():
    degree, bound = 4, 3.0
    low = bound * 0.3 / (degree + 1) ** 2
    x = np.linspace(0, 4, 60)
    t = (bound + low - 2 * x) / (bound - low)
    T = np.polynomial.chebyshev.Chebyshev.basis(degree + 1)
    expected = 1 - T(t) / T((bound + low) / (bound - low))
    steps = coefficients(degree, bound)
    d = z = steps[0][0] + 0 * x
    for first, carry in steps[1:]:
        d = carry * d + first * (1 - x * z)
        z = z + d
    np.testing.assert_allclose(x * z, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["triangles_jumps", "nine_points"])
def test_untrained_it_is_jacobi(kind):
    A = matrix(kind)
    M = dense(build(awake=False, degree=0), A)
    torch.testing.assert_close(
        M, torch.diag(torch.from_numpy(1 / A.diagonal())), rtol=1e-15, atol=0
    )
    r = torch.randn(A.shape[0], dtype=torch.float64)
    compiled = build(awake=False, degree=0, dtype=torch.float32).on(operator(A)) @ r
    torch.testing.assert_close(compiled, r / torch.from_numpy(A.diagonal()), rtol=1e-6, atol=0)
    assert not torch.allclose(dense(build(degree=0), A), M, rtol=1e-2)


@pytest.mark.parametrize("degree", [0, 2])
def test_the_untrained_factored_form_is_classical(degree):
    for kind in ("triangles_jumps", "elasticity"):
        A = matrix(kind)
        expected = FactoredApproximateInverse(operator(A), degree=degree, dtype=torch.float64)
        expected = expected.apply(torch.eye(A.shape[0], dtype=torch.float64))
        M = dense(build(awake=False, form=FactoredGraphInverse, degree=degree), A)
        torch.testing.assert_close(M, expected, rtol=1e-9, atol=1e-12)
        trained = dense(build(form=FactoredGraphInverse, degree=degree), A)
        assert (trained - M).norm() > 0.2 * M.norm()
        assert (trained - trained.T).abs().max() < 1e-12 * trained.abs().max()
        assert torch.linalg.eigvalsh(trained)[0] > 0


@pytest.mark.parametrize("degree", [0, 2])
def test_loops_are_what_is_trained_and_the_plain_twin(degree):
    A = matrix("elasticity")
    model = build(3, degree=degree)
    M = dense(model, A)
    r = torch.randn(2, A.shape[0], dtype=torch.float64)
    compiled = model.on(operator(A))
    with FORMS.twin():
        twin = model.on(operator(A))
    for form in (compiled, twin):
        torch.testing.assert_close(form @ r, r @ M, rtol=1e-4, atol=1e-5 * float(M.abs().max()))
    L, _, graph = dense_factor(model, A)
    bound = model.bound(graph, L[graph.rows, graph.columns], L.diagonal())[0].item()
    with FORMS.twin():
        double = ApproximateInverse(
            operator(A), sp.csr_array(L.T.numpy()), degree=degree, bound=bound, dtype=r.dtype
        )
    one = torch.eye(A.shape[0], dtype=r.dtype)
    torch.testing.assert_close(double @ one, M, rtol=1e-10, atol=1e-12)


def test_a_batch_of_sizes_is_its_samples():
    """Padding changes nothing, and the systems do not see each other."""
    from pdeops.datasets.systems import MatrixSystems

    systems = MatrixSystems(sizes=(41, 41), kinds=("triangles", "elasticity", "stencil_jumps"))
    model, samples = build(1), [systems[i] for i in range(3)]
    assert len({len(s.target) for s in samples}) > 1
    batch = systems.collate(samples)
    r = batch.target[:, None]
    with torch.no_grad():
        together = model.at(batch.operator)(r)[:, 0]
        for i, s in enumerate(samples):
            n = len(s.target)
            alone = model.at([part[None] for part in s.operator])(s.target[None, None])[0, 0]
            torch.testing.assert_close(together[i, :n], alone, rtol=1e-10, atol=1e-12)


def changed(A, b, random, *, how):
    """P A Pᵀ or S A S, and b with it; S has factors of either sign."""
    n = A.shape[0]
    if how == "permuted":
        order = random.permutation(n)
        return sp.csr_array(A)[order][:, order], b[order]
    s = 10 ** random.uniform(-3, 3, n)
    if how == "signed":
        s *= random.choice([-1.0, 1.0], n)
    return sp.csr_array(sp.diags_array(s) @ A @ sp.diags_array(s)), s * b


@pytest.mark.parametrize("how", ["permuted", "scaled", "signed"])
def test_iterations_are_invariant(how):
    random = np.random.default_rng(0)
    model = build(2)
    for p in (*model.network.edge_head.parameters(), *model.network.node_head.parameters()):
        p.data *= 0.1  # CG is to converge
    for kind in ("triangles_jumps", "elasticity"):
        A = matrix(kind, 150)
        b = random.standard_normal(A.shape[0])
        count = iterations(A, b, model)
        again = iterations(*changed(A, b, random, how=how), model)
        assert abs(again - count) <= 1
        assert count > 5


def test_incomplete_cholesky_does_depend_on_the_order():
    """Negative control: the permutation changes M of a method that is not equivariant."""
    random = np.random.default_rng(0)
    A = matrix("triangles_jumps", 150)
    b = random.standard_normal(A.shape[0])
    order = random.permutation(A.shape[0])
    M, N = (IncompleteCholesky(operator(B)) for B in (A, sp.csr_array(A)[order][:, order]))
    z, y = M @ torch.from_numpy(b), N @ torch.from_numpy(b[order])
    assert (z[order] - y).norm() > 1e-3 * z.norm()


def test_gradients_are_those_of_differences():
    """With the interval of the polynomial fixed; its end carries no gradient."""
    A, model = matrix("triangles_jumps", 40), build(0)
    model.bound = lambda graph, off, on: graph.bound
    b = torch.randn(1, 1, A.shape[0], dtype=torch.float64)
    batch = as_batch(A)

    def loss():
        return (b * model.at(batch)(b)).sum()

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
    for A in (-matrix("graph", 30), matrix("graph", 30) - 1e3 * sp.eye_array(30)):
        with pytest.raises(ValueError, match="not positive definite"):
            build().on(operator(A))
    B = matrix("graph", 30).tolil()
    B[0, 1] = 5.0
    with pytest.raises(ValueError, match="needs a symmetric A"):
        build().on(Matrix(B.tocsr()))
    single = build().on(operator(sp.csr_array([[4.0]])))
    assert single.apply(torch.ones(1, dtype=torch.float64)).item() > 0
    hole = sp.block_diag([matrix("graph", 30), sp.csr_array((1, 1))], format="csr")
    M = ApproximateInverse(operator(hole), degree=2)
    r = torch.ones(31, dtype=torch.float64)
    assert (M @ r).isfinite().all()
    for arguments in ({"ndim": 2}, {"hidden_channels": 0}, {"degree": -2}):
        with pytest.raises(ValueError, match=r"must be|ndim = 1"):
            GraphInverse(**arguments)
    for further in ({"node_inputs": 1}, {"edge_inputs": 1}):
        network, one = GraphNetwork(4, 1, **further), np.ones(1)
        with pytest.raises(ValueError, match="no further inputs"):
            network.compiled(np.array([0, 1]), np.array([0]), one, one, 1.0)
