"""Streams of sparse matrices: what a sample must be, and on what it may depend."""

import numpy as np
import pytest
import torch

from pdeops.datasets.systems.matrices import KINDS
from pdeops.datasets.systems.matrix_systems import TRAINED, MatrixSystems, unit_diagonal
from pdeops.datasets.systems.meshes import delaunay, diffusion, elasticity


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_matrices_are_symmetric_and_positive_definite(kind):
    A = KINDS[kind](70, np.random.default_rng(3))
    full = A.toarray()
    assert A.shape[0] == pytest.approx(70, rel=0.25)
    assert abs(full - full.T).max() <= 1e-12 * abs(full).max()
    scaled = unit_diagonal(A)
    np.testing.assert_allclose(scaled.diagonal(), 1)
    assert np.linalg.eigvalsh(scaled.toarray())[0] > 1e-5


def test_linear_functions_have_no_load_and_rigid_motions_no_energy():
    """Rows of points without neighbours on the sides: A maps linear functions, and elasticity maps
    rotations, to zero there."""
    mesh = delaunay(200, np.random.default_rng(0))
    touching = (mesh.corners >= mesh.unknowns).any(axis=1)
    inner = np.setdiff1d(np.arange(mesh.unknowns), mesh.corners[touching])
    assert len(inner) > 50
    # Positions are recovered from the centroids: Σ_corners x = 3 centre.
    corners = mesh.corners[~touching]
    rows = np.repeat(np.arange(len(corners)), 3)
    incidence = np.zeros((len(corners), mesh.unknowns))
    incidence[rows, corners.ravel()] = 1 / 3
    x = np.linalg.lstsq(incidence, mesh.centres[~touching], rcond=None)[0]
    D = np.array([[2.0, 0.5], [0.5, 1.0]])
    A = diffusion(mesh, np.broadcast_to(D, (len(mesh.corners), 2, 2)))
    assert abs((A @ x)[inner]).max() < 1e-8
    turned = np.stack([-x[:, 1], x[:, 0]], axis=1).ravel()
    load = (elasticity(mesh, 1.0, 1.0) @ turned).reshape(-1, 2)
    assert abs(load[inner]).max() < 1e-7
    stretched = np.stack([x[:, 0] ** 2, x[:, 1]], axis=1).ravel()
    assert abs((elasticity(mesh, 1.0, 1.0) @ stretched).reshape(-1, 2)[inner]).max() > 1e-4


def test_a_sample_depends_on_seed_epoch_and_index_alone():
    first, second = (MatrixSystems(sizes=(40, 60), num_samples=4, seed=1) for _ in range(2))
    first[0]  # drawing another sample before changes nothing
    for a, b in zip(first[3].operator, second[3].operator, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(first[3].target, second[3].target)
    second.set_epoch(1)
    other = MatrixSystems(sizes=(40, 60), num_samples=4, seed=2)
    for changed in (second[3], other[3], first.held_out(4)[3]):
        assert changed.target.shape != first[3].target.shape or not torch.equal(
            changed.target, first[3].target
        )


def test_held_out_kinds_are_not_those_of_training():
    systems = MatrixSystems(sizes=(40, 40), kinds=("graph",), unseen=("tetrahedra",))
    assert systems.held_out(3).kinds == ["graph"]
    unseen = systems.held_out_kinds(3)
    assert unseen.kinds == ["tetrahedra"]
    assert unseen.held_out_kinds(3) is None
    assert not set(MatrixSystems().unseen) & set(TRAINED)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"Unknown kind of matrix 'triangle'.*triangles"):
        MatrixSystems(kinds=("triangle",))
    for sizes in ((10, 40), (50, 40), (50,)):
        with pytest.raises(ValueError, match="16 <= low <= high"):
            MatrixSystems(sizes=sizes)


def test_the_diagonal_is_one_or_given():
    options = {"sizes": (40, 40), "kinds": ("triangles_jumps",), "num_samples": 2}
    unit, given = (MatrixSystems(diagonal=d, **options) for d in ("unit", "given"))
    assert abs(given.matrix(0).diagonal() - 1).max() > 0.1
    for A, B in ((unit, given), (unit.held_out(2), given.held_out(2))):
        same = unit_diagonal(B.matrix(0)).toarray()
        np.testing.assert_allclose(A.matrix(0).toarray(), same, atol=1e-12)
    with pytest.raises(ValueError, match='"unit" or "given"'):
        MatrixSystems(diagonal="one")
