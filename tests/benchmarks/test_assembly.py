"""Finite-element matrices: exact for linear functions, second order, equal to scikit-fem's."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from scipy.sparse.linalg import spsolve

from benchmarks.matrices import assembly
from benchmarks.matrices.assembly import Line
from benchmarks.matrices.problems import interior


def free(counts, h):
    return [Line(n, h) for n in counts]


def largest(A):
    return abs(A).max()


def test_forms_in_one_dimension_integrate_polynomials():
    """∫ (u')², ∫ u², ∫ v' u of u = 1 + x and v = 2 + 5x on (0, 1)."""
    line = Line(6, 0.2)
    x = np.linspace(0, 1, 6)
    u, v = 1 + x, 2 + 5 * x
    assert u @ (line.K @ u) == pytest.approx(1.0)
    assert u @ (line.M @ u) == pytest.approx(7 / 3)
    assert v @ (line.C @ u) == pytest.approx(7.5)
    assert u @ (line.C @ v) == pytest.approx(4.5)  # ∫ u' v: C is not symmetric


def test_held_ends_are_rows_and_columns_removed():
    whole, inner = Line(7, 0.1), Line(5, 0.1, held_low=True, held_high=True)
    for name in "MKC":
        cut = getattr(whole, name).toarray()[1:-1, 1:-1]
        np.testing.assert_allclose(getattr(inner, name).toarray(), cut, rtol=1e-14)


@pytest.mark.parametrize(("ndim", "sizes"), [(2, (15, 31, 63)), (3, (7, 15, 31))])
def test_multilinear_elements_are_second_order(ndim, sizes):
    """-Δu = f with u the product of sines, in the norm of nodal values."""
    errors = []
    for n in sizes:
        lines = interior(n, ndim)
        A = assembly.diffusion(lines, np.eye(ndim))
        t = np.arange(1, n + 1) / (n + 1)
        u = np.prod(np.sin(np.pi * np.array(np.meshgrid(*[t] * ndim, indexing="ij"))), axis=0)
        mass = line_mass = lines[0].M
        for _ in range(ndim - 1):
            mass = scipy.sparse.kron(mass, line_mass)
        load = mass @ (ndim * np.pi**2 * u.ravel())
        x, failed = scipy.sparse.linalg.cg(A, load, rtol=1e-12)
        assert not failed
        error = x - u.ravel()
        errors.append(np.linalg.norm(error) / (n + 1) ** (ndim / 2))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2.0, atol=0.06)


def test_stencils_have_nine_and_twenty_seven_points():
    for ndim, points in ((2, 9), (3, 27)):
        A = assembly.diffusion(interior(5, ndim), np.eye(ndim))
        middle = A[A.shape[0] // 2]
        assert middle.nnz <= points
        assert middle.sum() == pytest.approx(0, abs=1e-12)
    # -Δ of bilinear elements is [-1 -1 -1; -1 8 -1; -1 -1 -1] / 3, of any spacing.
    row = assembly.diffusion(interior(5, 2), np.eye(2))[12].toarray().reshape(5, 5)[1:4, 1:4]
    np.testing.assert_allclose(3 * row, [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], atol=1e-13)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 45.0, 90.0])
def test_the_strong_direction_of_the_rotated_tensor(degrees):
    """The energy of u = a · x on a free unit square is a · D a: 1 along d, the ratio across it."""
    angle = np.radians(degrees)
    d, e = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    lines = free((6, 6), 0.2)
    A = assembly.diffusion(lines, assembly.rotated_tensor(1e-3, degrees))
    x = assembly.nodes(lines, 0.2)
    assert (x @ d) @ (A @ (x @ d)) == pytest.approx(1.0)
    assert (x @ e) @ (A @ (x @ e)) == pytest.approx(1e-3)
    assert largest(A - A.T) < 1e-15


def test_rigid_body_modes_span_the_kernel_of_the_free_matrix():
    lines = free((4, 3, 5), 0.25)
    A = assembly.elasticity(lines, young=2.0, poisson=0.3).toarray()
    modes = assembly.rigid_body_modes(assembly.nodes(lines, 0.25))
    assert modes.shape == (180, 6)
    assert np.linalg.matrix_rank(modes) == 6
    assert abs(A @ modes).max() < 1e-13 * abs(A).max()
    values = np.linalg.eigvalsh(A)
    assert (values[:6] < 1e-13 * values[-1]).all()
    assert values[6] > 1e-4 * values[-1]  # nothing else


def test_uniaxial_strain_of_the_free_block():
    """u = (x, 0, 0): the energy density is λ + 2μ; shear (y, 0, 0): μ."""
    lines = free((4, 4, 4), 1 / 3)
    A = assembly.elasticity(lines, young=1.0, poisson=0.25)
    x = assembly.nodes(lines, 1 / 3)
    stretch, shear = np.zeros_like(x), np.zeros_like(x)
    stretch[:, 0], shear[:, 0] = x[:, 0], x[:, 1]
    lam, mu = 0.4, 0.4
    assert stretch.ravel() @ (A @ stretch.ravel()) == pytest.approx(lam + 2 * mu)
    assert shear.ravel() @ (A @ shear.ravel()) == pytest.approx(mu)


def test_triangles_are_exact_for_linear_functions():
    """A u is zero at nodes whose neighbours are all unknowns, for any u linear; not for others."""
    points, triangles, unknowns = assembly.triangulation(400, 3)
    A = assembly.linear_triangles(points, triangles, np.ones(len(triangles)), len(points))
    inner = A[:unknowns]
    assert abs(inner @ (2 * points[:, 0] - 3 * points[:, 1] + 1)).max() < 1e-10
    assert abs(inner @ points[:, 0] ** 2).max() > 1e-3
    assert largest(A - A.T) < 1e-12 * largest(A)


def test_a_jump_is_between_triangles():
    """k doubled in all triangles doubles A; k of one triangle changes its nine entries."""
    points, triangles, _ = assembly.triangulation(60, 0)
    k = np.ones(len(triangles))
    A = assembly.linear_triangles(points, triangles, k, len(points))
    double = assembly.linear_triangles(points, triangles, 2 * k, len(points))
    assert largest(double - 2 * A) == 0
    k[7] = 1e4
    changed = (assembly.linear_triangles(points, triangles, k, len(points)) - A).tocoo()
    changed.eliminate_zeros()
    assert set(changed.row) == set(triangles[7]) == set(changed.col)


def test_linear_triangles_are_second_order():
    """-Δu = f on random points; the mean spacing falls by half, so the error falls to a quarter."""
    errors = []
    for count in (1000, 4000, 16000):
        points, triangles, unknowns = assembly.triangulation(count, 0)
        A = assembly.linear_triangles(points, triangles, np.ones(len(triangles)), unknowns)
        exact = np.prod(np.sin(np.pi * points), axis=1)
        centre = points[triangles].mean(axis=1)
        f = 2 * np.pi**2 * np.prod(np.sin(np.pi * centre), axis=1)
        load = np.zeros(len(points))
        each = f * assembly.element_areas(points, triangles) / 3
        np.add.at(load, triangles.ravel(), np.repeat(each, 3))
        error = spsolve(A.tocsc(), load[:unknowns]) - exact[:unknowns]
        errors.append(np.sqrt(np.mean(error**2)))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2.0, atol=0.4)


def test_matrices_are_those_of_scikit_fem():
    """The same elements, assembled by others."""
    skfem = pytest.importorskip("skfem")
    elastic = pytest.importorskip("skfem.models.elasticity")
    from skfem.models.poisson import laplace

    points, triangles, _ = assembly.triangulation(80, 1)
    mesh = skfem.MeshTri(points.T, triangles.T)
    theirs = laplace.assemble(skfem.Basis(mesh, skfem.ElementTriP1()))
    ours = assembly.linear_triangles(points, triangles, np.ones(len(triangles)), len(points))
    assert largest(ours - theirs) < 1e-12 * largest(ours)

    counts, h = (4, 3, 5), 0.25
    axes = [h * np.arange(n) for n in counts]
    basis = skfem.Basis(
        skfem.MeshHex.init_tensor(*axes), skfem.ElementVector(skfem.ElementHex1()), intorder=2
    )
    theirs = elastic.linear_elasticity(*elastic.lame_parameters(1.0, 0.3)).assemble(basis)
    lines = free(counts, h)
    ours = assembly.elasticity(lines)
    # Our order of unknowns: nodes in C order, components of a node together.
    place = np.rint(basis.doflocs / h).astype(int)
    node = np.ravel_multi_index(place, counts)
    component = np.empty(len(node), dtype=int)
    for i, dofs in enumerate(basis.nodal_dofs):
        component[dofs] = i
    order = 3 * node + component
    back = np.argsort(order)
    assert largest(ours - theirs.tocsr()[back][:, back]) < 1e-12 * largest(ours)
