"""The default method for each kind of matrix, and the reasons given for the others."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Laplacian, choices, solve
from pdeops.solvers.choice import shape
from pdeops.solvers.choice.system import System

from ..multigrid.test_ghosts import walled


def lognormal(n, ndim=2):
    k = torch.randn((n,) * ndim, generator=torch.Generator().manual_seed(0)).double().exp()
    return Diffusion(k, Grid((n,) * ndim)).to_csr()


def permuted(A, seed=0):
    order = np.random.default_rng(seed).permutation(A.shape[0])
    return sp.csr_array(A[order][:, order])


def delaunay(n, seed=0):
    """Stiffness of P1 elements on random points of the unit square, u = 0 on its hull."""
    from scipy.spatial import Delaunay

    p = np.random.default_rng(seed).random((n, 2))
    mesh = Delaunay(p)
    t = mesh.simplices
    basis = np.linalg.inv(np.concatenate([np.ones((len(t), 3, 1)), p[t]], axis=2))
    area = np.abs(np.linalg.det(np.concatenate([np.ones((len(t), 3, 1)), p[t]], axis=2))) / 2
    K = np.einsum("tdi,tdj,t->tij", basis[:, 1:], basis[:, 1:], area)
    where = np.repeat(t, 3, axis=1).ravel(), np.tile(t, (1, 3)).ravel()
    inside = np.setdiff1d(np.arange(n), mesh.convex_hull)
    return sp.csr_array(sp.coo_array((K.ravel(), where), shape=(n, n)).tocsr()[inside][:, inside])


def obstacle(n):
    fluid = torch.ones(n, n, dtype=torch.bool)
    fluid[n // 3 : n // 2, n // 3 : n // 2] = False
    return Diffusion(1.0, Grid((n, n), boundary="neumann"), fluid=fluid, reaction=0.1).to_csr()


def porous(n, solid, ndim=2):
    """Cells without flux at random places."""
    random = np.random.default_rng(0)
    fluid = torch.from_numpy(random.random((n,) * ndim) >= solid)
    grid = Grid((n,) * ndim, boundary="neumann")
    return Diffusion(1.0, grid, fluid=fluid, reaction=0.01).to_csr()


def ring(n):
    """A ring five cells wide: few of the nodes of the box, but well connected."""
    x, y = torch.meshgrid(*[torch.linspace(-1, 1, n)] * 2, indexing="ij")
    r = torch.hypot(x, y)
    fluid = (r < 0.9) & (r > 0.9 - 10 / n)
    grid = Grid((n, n), boundary="neumann")
    return Diffusion(1.0, grid, fluid=fluid, reaction=0.01).to_csr()


def trilinear(n):
    """-Δ + 1 on n³ trilinear elements: a row is coupled with all neighbours, over corners too."""
    line = [
        sp.diags_array(c, offsets=[-1, 0, 1], shape=(n, n))
        for c in ((-1.0, 2.0, -1.0), (1.0, 4.0, 1.0))
    ]
    K, M = line
    products = ((K, M, M), (M, K, M), (M, M, K), (M, M, M))
    return sp.csr_array(sum(sp.kron(sp.kron(a, b), c) for a, b, c in products))


def skewed(n):
    """Laplacian with spacings 1 : 3."""
    return Laplacian(Grid((n, n), (1.0, 3.0))).to_csr()


TABLE = {
    "Poisson, Dirichlet": (lambda: Laplacian(Grid((40, 33))).to_csr(), 1, "transform"),
    "Poisson, Neumann": (
        lambda: Laplacian(Grid((40, 33), boundary="neumann")).to_csr(),
        1,
        "transform",
    ),
    "Poisson, periodic and Dirichlet, 3D": (
        lambda: Laplacian(Grid((8, 9, 10), boundary=["periodic", "dirichlet", "neumann"])).to_csr(),
        1,
        "transform",
    ),
    "two spacings": (lambda: skewed(30), 1, "transform"),
    "Helmholtz of the right sign": (
        lambda: Laplacian(Grid((20, 22))).to_csr() + 3.0 * sp.eye_array(18 * 20),
        5,
        "transform",
    ),
    "lognormal": (lambda: lognormal(40), 1, "multigrid"),
    "lognormal, 3D": (lambda: lognormal(12, 3), 1, "multigrid"),
    "obstacle": (lambda: obstacle(40), 1, "multigrid"),
    "20 % of the cells are solid": (lambda: porous(40, 0.2), 1, "multigrid"),
    "40 % of the cells are solid": (lambda: porous(40, 0.4), 1, "amg"),
    "40 % of the cells are solid, 3D": (lambda: porous(12, 0.4, 3), 1, "multigrid"),
    "60 % of the cells are solid, large, 3D": (lambda: porous(34, 0.6, 3), 1, "amg"),
    "ring": (lambda: ring(40), 1, "multigrid"),
    "one axis": (lambda: lognormal(500, 1), 1, "direct"),
    "Delaunay, small": (lambda: delaunay(2000), 1, "direct"),
    "Delaunay, large": (lambda: delaunay(60000), 1, "amg"),
    "Delaunay, large, 100 right-hand sides": (lambda: delaunay(60000), 100, "direct"),
    "permuted, small, 3D": (lambda: permuted(lognormal(12, 3)), 1, "direct"),
    "permuted, large, 3D": (lambda: permuted(lognormal(30, 3)), 1, "amg"),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_default(name):
    make, num_rhs, expected = TABLE[name]
    found = choices(make(), num_rhs)
    assert found[0].name == expected, found[0]
    assert found[0].usable
    assert len({c.name for c in found}) == len(found)
    assert all(c.reason for c in found)


@pytest.mark.parametrize("constant", [True, False])
def test_ghosts_are_eliminated_first_where_the_rest_is_exact(constant, generator):
    """Constant couplings on a box are solved by transforms; for others multigrid with the ghosts
    takes as many iterations, in single precision."""
    shape = 18, 14
    k = None if constant else 1 + torch.rand(shape, generator=generator, dtype=torch.float64)
    names = [c.name for c in choices(walled(shape, k))]
    assert names[0] == ("elimination" if constant else "multigrid")
    assert "elimination" in names


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n == "two spacings" else n
        for n in TABLE
        if "large" not in n
    ],
)
def test_every_method_of_the_list_solves(name):
    """To the tolerance, on the matrix as given; those that do not apply say so."""
    A = TABLE[name][0]()
    b = A @ np.random.default_rng(0).standard_normal(A.shape[0])
    for choice in choices(A):
        if not choice.usable:
            with pytest.raises(ValueError, match="does not apply"):
                solve(A, b, method=choice.name)
            continue
        result = solve(A, b, method=choice.name, rtol=1e-9, max_iterations=3000)
        assert result.converged, (choice, result)
        assert np.linalg.norm(b - A @ result.x.numpy()) <= 1e-9 * np.linalg.norm(b)


@pytest.mark.parametrize(
    ("A", "d"),
    [
        (permuted(lognormal(60)), 2),
        (delaunay(5000), 2),
        (permuted(lognormal(24, 3)), 3),
        (permuted(lognormal(2000, 1)), 1),
        (trilinear(12), 3),
        (permuted(trilinear(12)), 3),
        (sp.kron(trilinear(12), np.eye(3) + 1).tocsr(), 3),
    ],
    ids=["square", "delaunay", "cube", "line", "elements", "permuted elements", "three unknowns"],
)
def test_the_dimension_of_a_mesh(A, d):
    assert System.of(A).dimension == pytest.approx(d, abs=0.4)


def test_costs_grow_as_the_theory_says():
    """A factorisation in space grows as n², in the plane between n log n and n^1.5."""
    small, large = (shape.sparse_direct(n, 7 * n, 3.0).setup for n in (10**5, 10**6))
    assert large / small == pytest.approx(100, rel=0.1)
    small, large = (shape.sparse_direct(n, 7 * n, 2.05).setup for n in (10**5, 10**6))
    assert 12 < large / small < 10**1.5


def test_the_list_names_why_a_method_does_not_apply():
    found = {c.name: c for c in choices(delaunay(300))}
    assert not found["multigrid"].usable
    assert "stencil on a grid" in found["multigrid"].reason
    found = {c.name: c for c in choices(lognormal(20))}
    assert "not constant" in found["transform"].reason


def test_elasticity_in_space_is_not_factored():
    """Its estimate is several times that of smoothed aggregation."""
    A = sp.kron(trilinear(20), np.eye(3) + 1).tocsr()
    first = choices(A)[0]
    assert first.name == "amg"
    n, nnz = A.shape[0], A.nnz
    assert System.of(A).blocks == 3
    assert shape.sparse_direct(n, nnz, 3.0).total(1) > 5 * shape.smoothed_aggregation(
        nnz, 3, 0
    ).total(1)
    with_modes = shape.smoothed_aggregation(nnz, 3, 6)
    without = shape.smoothed_aggregation(nnz, 3, 0)
    assert with_modes.setup > without.setup
    assert with_modes.solve < without.solve


def test_many_right_hand_sides_in_the_plane_are_solved_directly():
    """A factorisation of triangles costs several solves by multigrid, and repays them."""
    n, nnz = 200_000, 1_400_000
    direct, amg = shape.sparse_direct(n, nnz, 2.05), shape.algebraic_multigrid(nnz)
    assert direct.total(1) > amg.total(1)
    assert direct.total(10) < amg.total(10)
