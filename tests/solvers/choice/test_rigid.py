"""Rigid-body motions of elastic bodies as near-null space and kernel."""

import numpy as np
import pytest

import pdeops
from pdeops.solvers import rigid_body_modes
from pdeops.solvers.choice.rigid import doubts
from pdeops.solvers.choice.system import System

from ...elasticity import triangle_elasticity
from .test_solve import rhs


@pytest.mark.parametrize("d", [2, 3])
def test_rigid_body_modes_are_orthonormal_and_have_no_strain(d):
    x = np.random.default_rng(0).random((50, d))
    B = rigid_body_modes(x)
    assert B.shape == (50 * d, 3 * d - 3)
    np.testing.assert_allclose(B.T @ B, np.eye(3 * d - 3), atol=1e-13)
    # A motion of first order changes no distance to first order.
    i, j = np.triu_indices(50, 1)
    for u in B.T.reshape(-1, 50, d):
        assert np.abs(((x[i] - x[j]) * (u[i] - u[j])).sum(1)).max() <= 1e-13


def test_rigid_body_modes_are_the_kernel_of_a_free_body():
    A, points = triangle_elasticity(9, clamped=False)
    assert np.abs(A @ rigid_body_modes(points)).max() <= 1e-13
    values = np.linalg.eigvalsh(A.toarray())
    assert (np.abs(values) <= 1e-12).sum() == 3


@pytest.mark.parametrize("method", [None, "direct", "smoothed_aggregation"])
def test_a_free_body_is_solved_on_its_range(method):
    A, points = triangle_elasticity(9, clamped=False)
    B = rigid_body_modes(points)
    b = A @ rhs(A)
    result = pdeops.solve(A, b, coordinates=points, method=method)
    assert result.converged, result
    assert np.abs(B.T @ np.asarray(result.x)).max() <= 1e-8 * result.x.abs().max()
    result = pdeops.solve(A, b + B[:, 2], coordinates=points, method=method)
    assert "outside the range of A" in result.reason


def test_rigid_body_modes_save_iterations():
    """Bounded under refinement with them, and fewer than without."""
    counts = []
    for n in (20, 40):
        A, points = triangle_elasticity(n, clamped=True)
        assert System.of(A).blocks == 2
        b = rhs(A)
        with_modes = pdeops.solve(A, b, coordinates=points, method="smoothed_aggregation")
        same = pdeops.solve(
            A, b, near_nullspace=rigid_body_modes(points), method="smoothed_aggregation"
        )
        without = pdeops.solve(A, b, method="smoothed_aggregation")
        assert same.iterations == with_modes.iterations
        assert with_modes.converged
        counts.append((with_modes.iterations, without.iterations))
    assert counts[1][0] < counts[1][1]
    assert counts[1][0] <= counts[0][0] + 6


def permuted(x):
    return np.random.default_rng(0).permutation(x)


@pytest.mark.parametrize("n", [4, 9, 20])
@pytest.mark.parametrize("clamped", [True, False])
def test_right_coordinates_raise_no_doubt(n, clamped):
    A, points = triangle_elasticity(n, clamped)
    assert doubts(A, rigid_body_modes(points), 2) == ""
    assert doubts(A, rigid_body_modes(100 - 3 * points), 2) == ""  # turned, moved and scaled
    assert doubts(A, rigid_body_modes(points)) == ""


@pytest.mark.parametrize(
    "spoil",
    [permuted, lambda x: x[::-1] ** 2, lambda x: x[:, ::-1], lambda x: x * [1, 2]],
    ids=["another order", "another map", "exchanged axes", "two units"],
)
@pytest.mark.parametrize("n", [4, 20])
def test_wrong_coordinates_are_noticed(n, spoil, caplog):
    A, points = triangle_elasticity(n, clamped=True)
    text = doubts(A, rigid_body_modes(spoil(points)), 2)
    assert "annihilates translations but not the rotations" in text
    System.of(A, coordinates=spoil(points))
    assert text in caplog.text


def test_the_rows_of_a_doubt_are_named():
    """One node moved: the rows of its neighbours, and no others."""
    A, points = triangle_elasticity(9, clamped=False)
    points[40] += 0.05, 0.02
    text = doubts(A, rigid_body_modes(points), 2)
    rows = np.flatnonzero(abs(A[:, [80, 81]]).sum(axis=1))
    assert f"{len(rows)} of 162 rows ({rows[0]}, {rows[1]}, {rows[2]}, ...)" in text


def test_another_numbering_of_the_unknowns_is_noticed():
    A, points = triangle_elasticity(9, clamped=True)
    order = np.argsort(np.arange(A.shape[0]) % 2, kind="stable")  # all of one axis, then the other
    A = A[order][:, order]
    assert "number the unknowns node by node" in doubts(A, rigid_body_modes(points), 2)
    B = permuted(rigid_body_modes(points))
    assert "Check that its rows are in the order of A's" in doubts(A, B)


def test_coordinates_of_another_shape():
    with pytest.raises(ValueError, match=r"one row of 2 or 3 numbers per node.*Transpose it"):
        rigid_body_modes(np.zeros((2, 9)))
