"""A linear operator is what it says it is, and the probe before CG catches what is not."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import cg

from pdeops.domain import Grid
from pdeops.linop import LinearOperator, Preconditioner, check_spd

GRID = Grid((5, 7)).interior  # 15 unknowns


class Matrix(LinearOperator):
    """Any function of fields on GRID, for tests."""

    symmetric = True

    def __init__(self, function):
        self.grid, self.function = GRID, function

    def apply(self, u):
        return self.function(u)


def of(matrix):
    return Matrix(lambda u: (u.flatten(-2) @ matrix.T).reshape(u.shape))


@pytest.fixture
def spd(generator):
    root = torch.randn(15, 15, generator=generator, dtype=torch.float64)
    return root @ root.T + 0.1 * torch.eye(15, dtype=torch.float64)


def test_check_spd_accepts_a_symmetric_positive_definite_operator(spd):
    check_spd(of(spd))
    check_spd(of(1e-12 * spd))  # relative: the scale does not matter
    check_spd(of(1e12 * spd))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Mu, u: Mu + 1e-3 * Mu.tanh(), "not linear"),
        (lambda Mu, u: Mu.relu(), "not linear"),  # even where M(au) = a M(u) for a > 0
        (lambda Mu, u: Mu + 1.0, "not linear"),
        (lambda Mu, u: Mu / u.norm(), "not linear"),
        (lambda Mu, u: Mu + 1e-6 * u.roll(1, -1), "not symmetric"),
        (lambda Mu, u: -Mu, "not positive definite"),
        (lambda Mu, u: 0 * Mu, "not positive definite"),
        (lambda Mu, u: Mu / 0, "not finite"),
    ],
)
def test_check_spd_names_what_is_wrong(spd, change, message):
    A = of(spd)
    with pytest.raises(ValueError, match=message):
        check_spd(Matrix(lambda u: change(A.apply(u), u)))


def test_check_spd_catches_an_indefinite_matrix(generator):
    Q, _ = torch.linalg.qr(torch.randn(15, 15, generator=generator, dtype=torch.float64))
    signs = torch.ones(15, dtype=torch.float64)
    signs[:7] = -2.0
    with pytest.raises(ValueError, match="not positive definite"):
        check_spd(of(Q @ torch.diag(signs) @ Q.T), probes=20)


def test_check_spd_does_not_touch_the_global_random_state(spd):
    before = torch.random.get_rng_state()
    check_spd(of(spd))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_check_spd_needs_a_probe(spd):
    with pytest.raises(ValueError, match="at least one probe"):
        check_spd(of(spd), probes=0)


def test_matmul_refuses_a_field_of_another_grid(spd):
    with pytest.raises(ValueError, match=r"argument of Matrix.*3, 5.*got \(5, 3\)"):
        of(spd) @ torch.zeros(5, 3, dtype=torch.float64)


def test_matmul_takes_a_batch(spd, generator):
    u = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64)
    expected = torch.stack([(spd @ v.flatten()).reshape(3, 5) for v in u])
    assert torch.allclose(of(spd) @ u, expected, rtol=1e-13)


def test_to_scipy_is_the_same_matrix(spd):
    A = of(spd).to_scipy()
    assert np.allclose(A @ np.eye(15), spd.numpy(), rtol=1e-14)
    assert np.allclose(A.rmatvec(np.ones(15)), spd.numpy() @ np.ones(15), rtol=1e-13)


def test_to_scipy_solves_with_cg(spd):
    b = np.arange(15.0)
    b.flags.writeable = False
    x, info = cg(of(spd).to_scipy(), b, rtol=1e-12, maxiter=200)
    assert info == 0
    assert np.linalg.norm(b - spd.numpy() @ x) <= 1e-10 * np.linalg.norm(b)


def test_to_scipy_never_shares_memory_with_its_argument():
    identity = Matrix(lambda u: u).to_scipy()
    u = np.ones(15)
    identity.matvec(u)[:] = 7.0
    assert (u == 1).all()


def test_to_scipy_of_an_operator_with_parameters(spd):
    spd.requires_grad_()
    assert np.isfinite(of(spd).to_scipy() @ np.ones(15)).all()


def test_a_preconditioner_declares_what_cg_needs():
    assert Preconditioner.symmetric
    assert Preconditioner.positive_definite
