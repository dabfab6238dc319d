"""Plane strain: the matrix, the patch test, exact solutions, and the recovered stress."""

import numpy as np
import pytest

from pdeops.solvers.elements.plane_strain import Material, PlaneStrain
from pdeops.solvers.elements.recovery import recovered_stress
from pdeops.solvers.elements.ring_mesh import SIDES, RingMesh, unit_square

from .exact import areas, kirsch, lame, manufactured, on

pytest.importorskip("skfem")
ORDERS = pytest.mark.parametrize("order", [1, 2])
MATERIAL = Material(young=2.0, poisson=0.35)


def wavy(angle):
    return 0.3 + 0.05 * np.sin(3 * angle)


def circle(radius):
    return lambda angle: np.full_like(angle, radius)


def orders(errors):
    return np.log2(np.array(errors[:-1]) / errors[1:])


@ORDERS
def test_matrix_is_that_of_scikit_fem(order):
    import skfem
    from skfem.models.elasticity import lame_parameters, linear_elasticity

    mesh = RingMesh(wavy, shape=(12, 2), order=order)
    flat = RingMesh(wavy, shape=(12, 2), order=1)
    theirs = skfem.MeshQuad(flat.nodes, flat.cells.T)
    element = skfem.ElementQuad1()
    if order == 2:
        curved = skfem.MeshQuad2.from_mesh(theirs)
        element, numbers = skfem.ElementQuad2(), curved.dofs.element_dofs
        places = curved.doflocs.copy()
        across, around = np.rint(2 * element.doflocs).astype(int).T
        for k, ours in enumerate(3 * around + across):
            places[:, numbers[k]] = mesh.nodes[:, mesh.elements[:, ours]]
        theirs = skfem.MeshQuad2(places, curved.t)
    basis = skfem.Basis(theirs, skfem.ElementVector(element), intorder=2 * order)
    A = linear_elasticity(*lame_parameters(2.0, 0.35)).assemble(basis).tocsr()

    component = np.empty(A.shape[0], dtype=int)
    component[basis.element_dofs] = (np.arange(len(basis.element_dofs)) % 2)[:, None]
    gaps = np.linalg.norm(basis.doflocs[:, :, None] - mesh.nodes[:, None], axis=0)
    order_of = np.argsort(2 * gaps.argmin(1) + component)
    ours = PlaneStrain(mesh, MATERIAL).matrix()
    assert abs(A[order_of][:, order_of] - ours).max() < 1e-13 * abs(ours).max()


@ORDERS
def test_matrix_is_symmetric_with_the_rigid_motions_as_kernel(order):
    mesh = RingMesh(wavy, shape=(8, 1), order=order)
    A = PlaneStrain(mesh, MATERIAL).matrix().toarray()
    np.testing.assert_allclose(A, A.T, atol=1e-14)
    x, y = mesh.nodes
    zero, one = np.zeros_like(x), np.ones_like(x)
    for motion in ((one, zero), (zero, one), (-y, x)):
        assert abs(A @ np.stack(motion, axis=1).ravel()).max() < 1e-13
    values = np.linalg.eigvalsh(A)
    assert abs(values[:3]).max() < 1e-13 < 1e-3 < values[3]


@ORDERS
def test_a_linear_displacement_is_exact(order):
    """The patch test: constant stress, tractions on the void and on three sides."""
    mesh = RingMesh(wavy, shape=(12, 2), order=order)
    gradient = np.array([[0.3, -0.7], [0.2, 0.5]])
    strain = [gradient[0, 0], gradient[1, 1], gradient[0, 1] + gradient[1, 0]]
    stress = MATERIAL.stiffness @ strain
    problem = PlaneStrain(mesh, MATERIAL)
    for nodes in (mesh.inner, *(mesh.side(name) for name in SIDES if name != "bottom")):
        problem.add_traction(nodes, lambda x, n: on(stress, n))
    held, u = mesh.side("bottom"), gradient @ mesh.nodes
    result = problem.solve(held, u[:, held])
    assert result.converged
    np.testing.assert_allclose(result.x, u, atol=1e-13)
    found = recovered_stress(problem, result.x.numpy(), (20, 5))
    np.testing.assert_allclose(found, np.repeat(stress[:, None], found.shape[1], 1), atol=1e-12)


@ORDERS
def test_tractions_sum_to_the_force_and_its_moment(order):
    problem = PlaneStrain(mesh := RingMesh(wavy, shape=(12, 2), order=order))
    problem.add_traction(mesh.side("top"), lambda x, n: np.stack([0 * x[0], x[0]]))
    load = problem.load.reshape(-1, 2)
    np.testing.assert_allclose(load.sum(0), [0, 1 / 2], atol=1e-15)
    np.testing.assert_allclose(load[:, 1] @ mesh.nodes[0], 1 / 3)
    problem = PlaneStrain(mesh)
    problem.add_traction(mesh.inner, lambda x, n: n)  # a uniform pressure has no resultant
    np.testing.assert_allclose(problem.load.reshape(-1, 2).sum(0), 0, atol=1e-15)
    centre = np.full((2, 1), 0.5)
    assert ((mesh.nodes - centre).T * problem.load.reshape(-1, 2)).sum() < 0  # towards the void


def errors_of(exact, curves, held, loaded, *, shape, order, kappa=None):
    """Largest relative error of the displacement, and that of the von Mises stress in L², where
    the parts of the boundary in `held` have the exact displacement and those in `loaded` the exact
    tractions."""
    mesh = RingMesh(*curves, shape=shape, order=order)
    part = lambda name: mesh.inner if name == "inner" else mesh.side(name)  # noqa: E731
    problem = PlaneStrain(mesh, MATERIAL)
    for name in loaded:
        problem.add_traction(part(name), exact.traction)
    u = exact.displacement(mesh.nodes, MATERIAL, kappa)
    nodes = np.unique(np.concatenate([part(name) for name in held]))
    found = problem.solve(nodes, u[:, nodes]).x.numpy()

    points = RingMesh(*curves, shape=shape, order=1)
    stress = MATERIAL.von_mises(recovered_stress(problem, found, shape))
    true, w = MATERIAL.von_mises(exact.stress(points.nodes)), areas(points)
    in_mean = np.sqrt(w @ (stress - true) ** 2 / (w @ true**2))
    return abs(found - u).max() / abs(u).max(), in_mean


# Boundaries with tractions; the others have the exact displacement.
PROBLEMS = {
    "Kirsch": (kirsch(0.2), (circle(0.2), unit_square), ("inner", "top")),
    "Lamé": (lame(0.2, 0.5), (circle(0.2), circle(0.5)), ("inner",)),
    "manufactured": (manufactured(), (wavy, unit_square), ("inner",)),
}


@ORDERS
@pytest.mark.parametrize("name", PROBLEMS)
def test_orders_of_convergence(name, order):
    """p + 1 for the displacement, and for the stress recovered from Barlow points, which has only
    p where it is evaluated elsewhere."""
    exact, curves, loaded = PROBLEMS[name]
    held = [part for part in ("inner", *SIDES) if part not in loaded]
    shapes = [(12 * f, 2 * f) for f in (2, 4, 8)]
    errors = [errors_of(exact, curves, held, loaded, shape=s, order=order) for s in shapes]
    u, stress = np.transpose(errors)
    assert orders(u)[-1] > order + 0.85
    assert orders(stress)[-1] > order + 0.75
    assert stress[-1] < {1: 5e-3, 2: 3e-4}[order]


def test_plane_stress_is_another_problem():
    """With the displacement of plane stress, κ = (3 - ν) / (1 + ν), the error stays."""
    exact, curves, loaded = PROBLEMS["Kirsch"]
    nu = MATERIAL.poisson
    held = [part for part in ("inner", *SIDES) if part not in loaded]
    _, stress = errors_of(
        exact, curves, held, loaded, shape=(48, 8), order=2, kappa=(3 - nu) / (1 + nu)
    )
    assert stress > 0.05


def test_stress_on_coarser_points_than_the_mesh_and_finer():
    """The same polynomials, evaluated elsewhere: common points have one value."""
    mesh = RingMesh(wavy, shape=(24, 4))
    problem = PlaneStrain(mesh)
    u = np.sin(3 * mesh.nodes)
    few, many = (recovered_stress(problem, u, shape) for shape in ((12, 2), (48, 8)))
    np.testing.assert_allclose(many.reshape(3, 48, 9)[:, ::4, ::4].reshape(3, -1), few, atol=1e-12)


def test_von_mises_of_known_states():
    """Shear τ: √3 τ. Uniaxial strain: 2μ |ε|. Equal stresses p in the plane: (1 - 2ν) |p|."""
    assert MATERIAL.von_mises(np.array([[0.0], [0.0], [-2.0]])) == pytest.approx(2 * np.sqrt(3))
    mu = 2.0 / (2 * 1.35)
    stretched = MATERIAL.stiffness @ [[0.1], [0], [0]]
    assert MATERIAL.von_mises(stretched) == pytest.approx(2 * mu * 0.1)
    assert MATERIAL.von_mises(np.array([[-3.0], [-3.0], [0]])) == pytest.approx(0.3 * 3)


@pytest.mark.parametrize(("young", "poisson"), [(0.0, 0.3), (1.0, 0.5), (1.0, -1.0)])
def test_bad_materials(young, poisson):
    with pytest.raises(ValueError, match="young > 0 and poisson in"):
        Material(young, poisson)


def test_without_scikit_fem_the_extra_is_named(monkeypatch):
    from pdeops.solvers.elements import tables

    monkeypatch.setitem(__import__("sys").modules, "skfem", None)
    with pytest.raises(ImportError, match=r"pdeops\[fem\]"):
        tables.on_edge.__wrapped__(1)
