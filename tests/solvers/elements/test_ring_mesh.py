"""Ring meshes: cells, nesting, curves and quadrature."""

import numpy as np
import pytest

from pdeops.solvers.elements.ring_mesh import SIDES, RingMesh, unit_square
from pdeops.solvers.elements.tables import gradients, reference

pytest.importorskip("skfem")


def wavy(angle):
    return 0.3 + 0.06 * np.sin(3 * angle) + 0.03 * np.cos(7 * angle)


def polygon_area(x):
    """The area inside a closed polygon, counter-clockwise (shoelace formula)."""
    y = np.roll(x, -1, axis=1)
    return (x[0] * y[1] - x[1] * y[0]).sum() / 2


@pytest.mark.parametrize("seed", range(5))
def test_every_cell_is_convex_for_any_curve(seed):
    """Also where the curve jumps from ray to ray."""
    random = np.random.default_rng(seed)
    mesh = RingMesh(lambda t: random.uniform(0.05, 0.45, t.shape), shape=(20, 3), order=1)
    angles = mesh.angles()
    assert 0 < angles.min() < angles.max() < 180
    np.testing.assert_allclose(angles.sum(1), 360)
    assert gradients(mesh, reference(1))[1].min() > 0


def test_a_swapped_pair_of_nodes_inverts_cells():
    mesh = RingMesh(wavy, shape=(20, 3), order=1)
    mesh.nodes[:, [1, 2]] = mesh.nodes[:, [2, 1]]
    assert mesh.angles().min() < 0
    with pytest.raises(ValueError, match=r"cells are inverted"):
        gradients(mesh, reference(1))


@pytest.mark.parametrize("order", [1, 2])
def test_nodes_lie_on_the_curves(order):
    mesh = RingMesh(wavy, shape=(16, 2), order=order)
    x = mesh.nodes - 0.5
    distance, angle = np.hypot(*x), np.arctan2(x[1], x[0])
    inner = mesh.inner
    np.testing.assert_allclose(distance[inner], wavy(angle[inner]))
    assert inner[0] == inner[-1]
    assert polygon_area(mesh.nodes[:, inner[:-1]]) < 0  # clockwise
    for name, axis, value in zip(SIDES, (1, 0, 1, 0), (1, 0, 0, 1), strict=True):
        side = mesh.nodes[:, mesh.side(name)]
        np.testing.assert_allclose(side[axis], value, atol=1e-15)
        np.testing.assert_allclose(sorted(side[1 - axis])[:: side.shape[1] - 1], [0, 1], atol=1e-15)
    outline = np.concatenate([mesh.side(name)[:-1] for name in SIDES])
    np.testing.assert_allclose(polygon_area(mesh.nodes[:, outline]), 1)
    np.testing.assert_allclose(distance[outline], unit_square(angle[outline]))


def test_meshes_are_nested():
    coarse = RingMesh(wavy, shape=(12, 2), order=1)
    fine = RingMesh(wavy, shape=(24, 4), order=2)
    lattice = fine.nodes.reshape(2, *fine.lattice)[:, ::4, ::4]
    np.testing.assert_allclose(lattice.reshape(2, -1), coarse.nodes)


def test_corners_of_cells_are_the_cells_of_order_one():
    first, second = (RingMesh(wavy, shape=(12, 2), order=p) for p in (1, 2))
    np.testing.assert_allclose(second.nodes[:, second.cells], first.nodes[:, first.cells])


def test_grading_thins_the_cells_at_the_inner_curve():
    """The derivative of σ(s) at s = 0 is 1 - γ."""
    even, graded = (RingMesh(wavy, shape=(12, 64), grading=g) for g in (0.0, 0.5))
    first = [np.linalg.norm(m.nodes[:, 1] - m.nodes[:, 0]) for m in (even, graded)]
    assert first[1] / first[0] == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (10, 2)}, "a multiple of 4"),
        ({"shape": (12, 0)}, "at least one across"),
        ({"order": 3}, "order 1 or 2"),
        ({"grading": 1.0}, "grading in"),
        ({"inner": lambda t: 0.6 + 0 * t}, "inside the outer one"),
        ({"inner": lambda t: 0 * t}, "inside the outer one"),
    ],
)
def test_bad_meshes(change, message):
    with pytest.raises(ValueError, match=message):
        RingMesh(**({"inner": wavy, "shape": (12, 2)} | change))


def test_other_bad_input():
    mesh = RingMesh(wavy, shape=(12, 2))
    with pytest.raises(ValueError, match="top, left, bottom, right"):
        mesh.side("north")
