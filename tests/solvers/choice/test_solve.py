"""`pdeops.solve`: residuals of the matrix as given, scales, columns, kernels."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
import torch

import pdeops
from pdeops.domain import Grid
from pdeops.solvers import Laplacian
from pdeops.solvers.choice.system import System

from .test_choices import delaunay, lognormal, permuted


def residual(A, x, b):
    x = np.asarray(x)
    return np.linalg.norm(b - A @ x, axis=0) / np.linalg.norm(b, axis=0)


def rhs(A, k=None, seed=0):
    shape = (A.shape[0],) if k is None else (A.shape[0], k)
    return np.random.default_rng(seed).standard_normal(shape)


MATRICES = {
    "transform": lambda: Laplacian(Grid((20, 17))).to_csr(),
    "multigrid": lambda: lognormal(24),
    "direct": lambda: delaunay(400),
    "amg": lambda: delaunay(400),
}


@pytest.mark.parametrize("name", MATRICES)
def test_several_right_hand_sides_equal_single_ones(name):
    A = MATRICES[name]()
    b = rhs(A, 3) * np.array([1.0, 1e-40, 1e30])
    whole = pdeops.solve(A, b, rtol=1e-10, method=name)
    assert whole.converged
    assert whole.x.shape == b.shape
    assert len(whole.columns) == 3
    assert (residual(A, whole.x, b) <= 1e-10).all()
    assert whole.residual == pytest.approx(residual(A, whole.x, b).max(), rel=1e-3)
    for j in range(3):
        alone = pdeops.solve(A, b[:, j], rtol=1e-10, method=name)
        gap = (alone.x - whole.x[:, j]).abs().max()
        assert gap <= 1e-7 * alone.x.abs().max()


@pytest.mark.parametrize("scale_b", [1e-300, 1e-200, 1.0, 1e200, 1e290])
@pytest.mark.parametrize("scale_A", [1e-150, 1e-30, 1.0, 1e30])
@pytest.mark.parametrize("name", MATRICES)
def test_scales_change_nothing(name, scale_A, scale_b):
    """Squares of these numbers underflow or overflow; the solution may too, and the reason then
    names it."""
    A = MATRICES[name]()
    b = rhs(A)
    plain = pdeops.solve(A, b, method=name)
    scaled = pdeops.solve(sp.csr_array(A * scale_A), b * scale_b, method=name)
    exponent = np.log10(plain.x.abs().max().item()) + np.log10(scale_b) - np.log10(scale_A)
    fits = -306 < exponent < 308
    assert scaled.converged == fits, scaled
    if fits:
        back = np.asarray(scaled.x) / scale_b * scale_A
        assert np.abs(back - plain.x.numpy()).max() <= 1e-6 * plain.x.abs().max()
    else:
        assert "does not fit into float64" in scaled.reason


@pytest.mark.parametrize(
    "diagonal", [(1e200, 1e-200), (1e300, 1e-18, 1e-18), (1e-300, 1e60, 1.0), (1e-310, 1e-9, 1e-9)]
)
def test_no_entry_underflows_by_the_scaling(diagonal):
    d = np.array(diagonal)
    A = sp.csr_array(sp.diags_array(d))
    system = System.of(A)
    assert (np.ldexp(system.csr.diagonal(), system.exponent) == d).all()
    for x in (np.ones(len(d)), 1.0 / np.arange(1, 1 + len(d))):
        for b in (d * x, np.where(d == d.min(), d * x, 0)):
            result = pdeops.solve(A, b)
            assert result.converged, result
            where = b != 0
            relative = (np.asarray(result.x) / x)[where & (abs(b) >= 1e-8 * abs(b).max())]
            assert relative == pytest.approx(1.0, rel=1e-7)


def test_b_of_zeros_and_a_column_of_zeros():
    A = lognormal(12)
    assert pdeops.solve(A, np.zeros(A.shape[0])).reason == "b = 0, so x = 0"
    b = rhs(A, 2)
    b[:, 0] = 0
    result = pdeops.solve(A, b)
    assert result.converged
    assert not result.x[:, 0].any()


def test_an_initial_guess_changes_nothing_where_b_is_zero():
    A = lognormal(12)
    b = rhs(A, 2)
    guess = np.ones_like(b)
    alone = pdeops.solve(A, 0 * b[:, 0], x0=guess[:, 0])
    assert alone.converged
    assert not alone.x.any()
    b[:, 1] = 0
    both = pdeops.solve(A, b, x0=guess)
    assert both.converged, both
    assert not both.x[:, 1].any()
    assert residual(A, both.x[:, 0], b[:, 0]) <= 1e-8


@pytest.mark.parametrize("size", [1e10, 1e20, 1e200, 1e300, 1.7e308])
def test_a_guess_that_is_far_off_is_not_used_and_this_is_said(size):
    A = lognormal(12)
    b = rhs(A)
    far = pdeops.solve(A, b, x0=np.full(b.shape, size))
    assert far.converged, far
    assert "x0 is not used" in far.reason
    assert torch.equal(far.x, pdeops.solve(A, b).x)
    near = pdeops.solve(A, b, x0=np.full(b.shape, 10.0))
    assert near.converged
    assert "x0" not in near.reason


@pytest.mark.parametrize("value", [0.9e12, 1e15, 1e18])
def test_a_penalty_row_hides_no_other_row(value):
    """The residual is that of the matrix as given (a large entry and 255 of order one)."""
    A = Laplacian(Grid((18, 18))).to_csr().tolil()
    A[0, 0] = value
    A = sp.csr_array(A)
    b = np.ones(A.shape[0])
    result = pdeops.solve(A, b, rtol=1e-9)
    assert result.converged
    assert residual(A, result.x, b) <= 1e-9
    assert result.residual == pytest.approx(residual(A, result.x, b), rel=0.1, abs=1e-15)


@pytest.mark.parametrize("contrast", [1e6, 1e11])
def test_contrasts(contrast):
    k = torch.ones(20, 20).double()
    k[5:15, 5:15] = contrast
    from pdeops.solvers import Diffusion

    A = Diffusion(k, Grid((20, 20))).to_csr()
    b = rhs(A)
    result = pdeops.solve(A, b, rtol=1e-6)
    assert result.residual == pytest.approx(residual(A, result.x, b), rel=1e-2)
    assert result.converged == (result.residual <= 1e-6)


def test_a_tolerance_below_round_off_is_not_claimed():
    A = lognormal(24)
    b = rhs(A)
    result = pdeops.solve(A, b, rtol=1e-18)
    assert not result.converged
    assert "round-off" in result.reason
    assert residual(A, result.x, b) <= 1e-13


def test_the_initial_guess_is_used():
    A = lognormal(24)
    x = rhs(A)
    result = pdeops.solve(A, A @ x, x0=x)
    assert result.converged
    assert result.iterations == 0
    near = pdeops.solve(A, A @ x, x0=x + 1e-6 * rhs(A, seed=1))
    assert near.iterations < pdeops.solve(A, A @ x).iterations


# ------------------------------------------------------------------------------ singular systems


def shifted(n, shift):
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    return (T - shift * sp.eye_array(n)).tocsr()


@pytest.mark.parametrize("max_iterations", [1, 3, 6])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_figure_of_a_reason_is_that_of_the_result(scale, max_iterations):
    A = lognormal(24)
    A[0, 0] *= scale
    b = rhs(A)
    x0 = pdeops.solve(A, b, rtol=1e-3).x
    for guess in (None, x0):
        result = pdeops.solve(
            A, b, method="jacobi", max_iterations=max_iterations, rtol=1e-12, x0=guess
        )
        assert not result.converged
        assert result.reason.endswith(f"|b - A x| = {residual(A, result.x, b):.1e} |b|")


def ring(n, excess):
    """T with periodic ends and this sum of each row."""
    A = shifted(n, -excess).tolil()
    A[0, n - 1] = A[n - 1, 0] = -1
    return A.tocsr()


def test_no_transform_divides_by_an_eigenvalue_that_is_lost():
    """c = 1e-12 is below the round-off at which couplings count as equal; c = 1e-6 is not."""
    assert "smallest eigenvalue" in System.of(ring(1000, 1e-12)).by_transforms
    b = rhs(ring(1000, 1e-12))
    result = pdeops.solve(ring(1000, 1e-12), b)
    assert residual(ring(1000, 1e-12), result.x, b) == pytest.approx(result.residual, rel=1e-2)
    assert pdeops.solve(ring(1000, 1e-6), b, method="transform").converged


def test_iterates_that_are_not_finite_leave_the_initial_one():
    """Negative eigenvalues that the diagonal does not show: algebraic multigrid overflows."""
    A = shifted(200, 1.3)
    b = rhs(A)
    result = pdeops.solve(A, b, method="amg")
    assert not result.converged
    assert np.isfinite(result.residuals).all()
    assert residual(A, result.x, b) == pytest.approx(result.residual, rel=1e-6)
    assert result.residual <= 1


# ----------------------------------------------------------------------------- inputs and advice


def test_forms_of_the_same_matrix():
    A = lognormal(12)
    b = rhs(A)
    x = pdeops.solve(A, b, rtol=1e-12).x
    doubled = sp.coo_array(
        (np.r_[A.tocoo().data, A.tocoo().data] / 2, np.tile(np.array(A.tocoo().coords), 2)),
        shape=A.shape,
    )
    unsorted = A.copy()
    unsorted.indices, unsorted.data = unsorted.indices.copy(), unsorted.data.copy()
    for i in range(A.shape[0]):
        part = slice(A.indptr[i], A.indptr[i + 1])
        unsorted.indices[part] = A.indices[part][::-1]
        unsorted.data[part] = A.data[part][::-1]
    unsorted.has_sorted_indices = unsorted.has_canonical_format = False
    long = A.copy()
    long.indices, long.indptr = long.indices.astype("int64"), long.indptr.astype("int64")
    zeros = (A + sp.csr_array(([0.0], ([0], [A.shape[0] - 1])), shape=A.shape)).tocsr()
    forms = (doubled, unsorted, long, zeros, A.toarray(), sp.csr_matrix(A), A.tocsc(), A.tobsr())
    for form in (*forms, A.astype(complex), A.tolil(), A.todia()):
        before = form.copy()
        again = pdeops.solve(form, torch.from_numpy(b), rtol=1e-12)
        assert again.converged
        assert (again.x - x).abs().max() <= 1e-9 * x.abs().max()
        left, right = (m.toarray() if sp.issparse(m) else m for m in (form, before))
        assert (left == right).all()  # the caller's arrays are as they were


@pytest.mark.parametrize("dtype", ["int64", "int8", "bool", "float32", "float16", "complex64"])
def test_types_of_numbers(dtype):
    A = sp.csr_array(np.eye(30, dtype=dtype if dtype != "float16" else "float32"))
    result = pdeops.solve(A, np.ones(30, dtype=dtype))
    assert result.x.dtype == torch.float64
    assert result.converged
    assert (result.x == 1).all()


def negated():
    return -lognormal(9)


def indefinite():
    return (lognormal(9) - 1e4 * sp.eye_array(49)).tocsr() + sp.diags_array(
        np.r_[1e6, np.zeros(48)]
    )


@pytest.mark.parametrize(
    ("A", "words", "never"),
    [
        (negated, ("negative definite", "Solve -A x = -b"), "minres"),
        (lambda: sp.csr_array(sp.triu(lognormal(9))), ("GMRES", "BiCGStab"), "minres"),
        (indefinite, ("indefinite", "minres"), "GMRES"),
        (
            lambda: np.array([[0.0, 1.0], [1.0, 0.0]]),
            ("zero on the diagonal", "indefinite"),
            "GMRES",
        ),
        (lambda: np.ones((3, 4)), ("square",), "GMRES"),
        (lambda: np.array([[1.0, np.nan], [np.nan, 1.0]]), ("NaN",), "GMRES"),
        (lambda: np.array([[1.0, 1j], [-1j, 1.0]]), ("complex128",), "GMRES"),
        (lambda: np.array([["1"]]), ("type <U1",), "GMRES"),
    ],
)
def test_what_is_no_matrix_for_conjugate_gradients(A, words, never):
    with pytest.raises(ValueError, match=r".") as caught:
        pdeops.solve(A(), np.ones(2))
    for word in words:
        assert word in str(caught.value)
    assert never not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b": np.ones(9)}, r"b must have the shape \(49,\)"),
        ({"b": np.full(49, np.nan)}, "first in row 0"),
        ({"b": np.ones((2, 49))}, r"\(49, k\)"),
        ({"rtol": 0.0}, "rtol must be positive"),
        ({"max_iterations": -1}, "max_iterations"),
        ({"x0": np.ones((49, 2))}, "x0"),
        ({"method": "multgrid"}, "Did you mean 'multigrid'"),
        ({"near_nullspace": np.ones((48, 1))}, "one row per unknown"),
        ({"coordinates": np.ones((24, 2))}, "A has 49 rows"),
        ({"coordinates": np.ones((49, 4))}, "2 or 3 numbers per node"),
        ({"coordinates": np.ones((24, 2)), "near_nullspace": np.ones((49, 1))}, "either"),
    ],
)
def test_arguments_that_are_wrong(change, words):
    with pytest.raises(ValueError, match=words):
        pdeops.solve(**({"A": lognormal(9), "b": np.ones(49)} | change))


@pytest.mark.parametrize("name", ["airfoil", "unit_square", "bar", "local_disc_galerkin_diffusion"])
def test_real_matrices(shared_data, name):
    """From PyAMG's gallery; unit_square is singular."""
    A = sp.csr_array(scipy.io.loadmat(shared_data / "pyamg" / f"{name}.mat", spmatrix=False)["A"])
    for method in (None, "direct", "amg"):
        b = A @ rhs(A)
        result = pdeops.solve(A, b, rtol=1e-10, method=method)
        assert result.converged, (method, result)
        assert residual(A, result.x, b) <= 1e-10


def test_convection_is_refused(shared_data):
    A = scipy.io.loadmat(shared_data / "pyamg" / "recirc_flow.mat", spmatrix=False)["A"]
    with pytest.raises(ValueError, match=r"not symmetric.*GMRES"):
        pdeops.solve(A, np.ones(A.shape[0]))


def test_algebraic_multigrid_is_bounded_under_refinement():
    counts = []
    for n in (2000, 8000, 32000):
        A = permuted(delaunay(n))
        counts.append(pdeops.solve(A, rhs(A), method="amg").iterations)
    assert counts[-1] <= 14
    assert counts[-1] <= counts[0] + 4


def test_a_solution_prints_in_a_line():
    A = Laplacian(Grid((9, 9))).to_csr()
    text = repr(pdeops.solve(A, np.ones(A.shape[0])))
    assert text.startswith("Solution(converged")
    assert "tensor(" not in text
    assert "\n" not in text


def test_a_preconditioner_of_scipy_is_taken_as_it_is():
    """With A⁻¹ one step suffices; another shape and an unsymmetric M are refused."""
    A = Laplacian(Grid((12, 9))).to_csr()
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    inverse = sp.linalg.splu(sp.csc_array(A)).solve
    M = sp.linalg.LinearOperator(A.shape, matvec=inverse, dtype=float)
    result = pdeops.solve(A, b, method=M, rtol=1e-10)
    assert result.converged
    assert result.iterations <= 2
    assert result.method == "conjugate gradients, M as given"
    assert np.linalg.norm(b - A @ result.x.numpy()) <= 1e-10 * np.linalg.norm(b)
    identity = sp.linalg.aslinearoperator(sp.eye_array(len(b)))
    assert pdeops.solve(A, b, method=identity, rtol=1e-10).iterations > 10
    with pytest.raises(ValueError, match="Build M for this A"):
        pdeops.solve(A, b, method=sp.linalg.aslinearoperator(sp.eye_array(3)))
    shift = sp.linalg.aslinearoperator(sp.csr_array(np.roll(np.eye(len(b)), 1, axis=0)))
    with pytest.raises(ValueError, match="not symmetric"):
        pdeops.solve(A, b, method=shift)
