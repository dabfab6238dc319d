"""Rigid-body motions of elastic bodies as near-null space and kernel."""

import numpy as np
import pytest

import pdeops
from pdeops.solvers import rigid_body_modes
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
