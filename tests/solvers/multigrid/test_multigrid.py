import math
import pickle
from copy import deepcopy

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.blackbox import layout
from pdeops.kernels.blackbox.reference import ReferenceHierarchy
from pdeops.kernels.blackbox.sparsify import equal_shares
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion, Laplacian, Multigrid, cg, solve_poisson
from pdeops.solvers.multigrid.hierarchy import ALL_LEVELS, system_of
from pdeops.solvers.multigrid.smoothers import Chebyshev, Jacobi, LineGaussSeidel

# Nodes with the boundary: odd and even, square and not, one level and several.
SHAPES = [(65, 65), (66, 66), (65, 40), (42, 103), (33, 20), (21, 21), (12, 50), (3, 30), (3, 3)]


@pytest.mark.parametrize("contrast", [1.0, 4.0, 1e4])
@pytest.mark.parametrize("shape", SHAPES)
def test_is_symmetric_positive_definite(shape, contrast, piecewise, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)  # small systems are to have levels, too
    grid = Grid(shape)
    check_spd(Multigrid(Diffusion(piecewise(grid, 1.0, contrast), grid)))


def test_other_cycles_are_symmetric_only_where_they_say_so(piecewise, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)  # on two levels all cycles are one
    grid = Grid((42, 40))
    A = Diffusion(piecewise(grid), grid)
    for cycle, sweeps in (("V", (2, 2)), ("W", (1, 1)), ("W", (2, 2))):
        M = Multigrid(A, cycle=cycle, sweeps=sweeps)
        assert M.symmetric
        check_spd(M)
    for wrong in (
        Multigrid(A, mirrored=False),
        Multigrid(A, sweeps=(2, 1)),
        Multigrid(A, cycle="F"),
        Multigrid(A, cycle="full"),
    ):
        assert not wrong.symmetric
        with pytest.raises(ValueError, match="not symmetric"):
            check_spd(wrong)
        with pytest.raises(ValueError, match="symmetric=False"):
            cg(A, torch.ones(A.grid.shape, dtype=torch.float64), M=wrong)


def iterations(grid, k, rtol=1e-8):
    A = Diffusion(k, grid)
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    result = cg(A, b, M=Multigrid(A), rtol=rtol, max_iterations=40)
    assert result.converged, result
    return result.iterations


@pytest.mark.parametrize(("contrast", "bound"), [(1.0, 8), (4.0, 9), (1e4, 12), (1e6, 13)])
def test_iterations_are_bounded_and_do_not_grow_with_the_grid(contrast, bound, piecewise):
    counts = []
    for n in (65, 129, 257):
        grid = Grid((n, n))
        counts.append(iterations(grid, piecewise(grid, 3.0, 3.0 * contrast, seed=1)))
    assert max(counts) <= bound
    assert counts[-1] <= counts[0] + 2


@pytest.mark.parametrize("n", [64, 80, 100, 121, 127, 130])
def test_any_size_converges_alike(n, piecewise):
    grid = Grid((n, n + 3))
    assert iterations(grid, piecewise(grid)) <= 10


def contraction(A, M, generator, steps=15):
    """|e| per cycle by the power method on I - M A."""
    e = A.project(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
    for _ in range(steps):
        e /= e.norm()
        e = A.project(e - M @ (A @ e))
    return e.norm().item()


def test_mirrored_cycle_contracts_independently_of_the_size(generator):
    """V(1,1) for Poisson with reversed colours: 0.25."""
    for n in (33, 65, 129):
        A = Diffusion(torch.ones(n, n, dtype=torch.float64), Grid((n, n)))
        assert contraction(A, Multigrid(A), generator) < 0.26


@pytest.mark.parametrize("shape", [(65, 65), (129, 129), (257, 257), (33, 33, 33)])
@pytest.mark.parametrize("boundary", ["dirichlet", "neumann"])
def test_two_sweeps_before_and_one_after_contract_by_a_tenth(shape, boundary, generator):
    """V(2,1), red-black, for Poisson; 0.12 in a box that ends between coarse nodes."""
    A = Laplacian(Grid(shape, boundary=boundary))
    M = Multigrid(A, sweeps=(2, 1), mirrored=False)
    bound = 0.12 if len(shape) == 3 and boundary == "neumann" else 0.1
    assert contraction(A, M, generator) < bound


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(n, n) for n in (31, 127, 511, 1023)] + [(63,) * 3, (127,) * 3])
def test_the_tenth_does_not_depend_on_the_size(shape, generator):
    """Unknowns per axis; the factor of a long run, not of its first cycles."""
    grid = Grid(tuple(n + 2 for n in shape))
    for A in (Laplacian(grid), Diffusion(torch.ones(grid.shape, dtype=torch.float64), grid)):
        assert contraction(A, Multigrid(A, sweeps=(2, 1), mirrored=False), generator) < 0.1


# Boundary, extent, and what else makes trouble; with the bound on iterations of CG to 1e-8.
HARD = {
    "neumann": ({"boundary": "neumann"}, {}, 14),
    "periodic": ({"boundary": "periodic"}, {}, 20),
    "mixed": ({"boundary": ("periodic", "neumann")}, {}, 20),
    "centres": ({"placement": "centers"}, {}, 12),
    "reaction": ({"boundary": "neumann"}, {"reaction": 100.0}, 15),
    "flat cells": ({"extent": (1.0, 1000**0.5)}, {}, 14),
    "long cells": ({"extent": (1000**0.5, 1.0)}, {}, 14),
    "cells 2 : 1": ({"extent": (2.0, 1.0)}, {}, 12),
}


@pytest.mark.parametrize("case", HARD)
def test_iterations_do_not_grow_on_any_boundary_and_spacing(case, piecewise, generator):
    """Jumps of 1e4."""
    box, more, bound = HARD[case]
    counts = []
    for n in (64, 128, 256):
        n += "periodic" not in str(box)
        grid = Grid((n, n), **box)
        A = Diffusion(piecewise(grid, 1.0, 1e4, seed=1), grid, **more)
        b = A.load(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
        result = cg(A, b, M=Multigrid(A), rtol=1e-8, max_iterations=60)
        assert result.converged, result
        counts.append(result.iterations)
    assert max(counts) <= bound, counts
    assert counts[-1] <= counts[0] + 3


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic"])
@pytest.mark.parametrize(("contrast", "bound"), [(1.0, 13), (1e4, 17), (1e6, 17)])
def test_iterations_in_three_dimensions(boundary, contrast, bound, piecewise, generator):
    n = 32 + (boundary != "periodic")
    grid = Grid((n, n, n), boundary=boundary)
    A = Diffusion(piecewise(grid, 1.0, contrast, seed=1), grid)
    b = A.load(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
    result = cg(A, b, M=Multigrid(A), rtol=1e-8)
    assert result.converged
    assert result.iterations <= bound


@pytest.mark.parametrize(("shape", "bound"), [((65, 65), 8), ((257, 257), 8), ((33,) * 3, 10)])
def test_a_constant_coefficient_is_solved_without_storing_it(shape, bound, generator):
    A = Laplacian(Grid(shape))
    M = Multigrid(A)
    check_spd(M)
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    result = cg(A, b, M=M, rtol=1e-8)
    assert result.converged
    assert result.iterations <= bound
    assert A._faces is None
    exact = solve_poisson(b, Grid(shape))
    assert (result.x - exact).norm() < 1e-6 * exact.norm()


@pytest.mark.parametrize(
    ("smoother", "bound"), [(Jacobi(0.8), 13), (Chebyshev(2), 11), (Chebyshev(4), 8)], ids=repr
)
def test_smoothers_without_colours(smoother, bound, piecewise, generator):
    """Symmetric without mirroring; iterations do not grow."""
    for n in (65, 257):
        grid = Grid((n, n))
        A = Diffusion(piecewise(grid), grid)
        M = Multigrid(A, smoother=smoother, mirrored=False)
        check_spd(M)
        b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
        result = cg(A, b, M=M, rtol=1e-8)
        assert result.converged
        assert result.iterations <= bound


@pytest.mark.parametrize("shape", [(33, 33), (17, 17, 17)])
def test_sparsified_operators_are_those_of_the_coarser_grids(shape, monkeypatch):
    """For a constant a: the couplings a/h² times the volume of a cell, along the axes alone."""
    monkeypatch.setattr(layout, "DIRECT", 100)
    A = Laplacian(Grid(shape))
    how = {"shares": equal_shares, "num_sparsified": ALL_LEVELS}
    levels = ReferenceHierarchy(system_of(A), **how)._levels
    assert len(levels) > 2
    ndim = len(shape)
    for k, level in enumerate(levels):
        for offset, c in level.couplings.items():
            inner = c[tuple(slice(2, n) for n in level.n)]
            along = sum(map(abs, offset)) == 1
            expected = A.faces[0].max() * 2.0 ** (k * (ndim - 2)) if along else 0.0
            torch.testing.assert_close(inner, torch.full_like(inner, expected))


@pytest.mark.parametrize(("contrast", "bound"), [(4.0, 9), (1e4, 20)])
def test_sparsified_operators_do_where_a_jumps_little(contrast, bound, piecewise, steps):
    """The others, as a control, take half as many where it jumps much."""
    for n in (65, 257):
        grid = Grid((n, n + 1))
        A = Diffusion(piecewise(grid, 3.0, 3.0 * contrast, seed=1), grid)
        M = Multigrid(A, coarse="sparsified")
        check_spd(M)
        assert steps(A, coarse="sparsified") <= bound
        assert steps(A) <= 11
    if contrast > 100:
        assert steps(A, coarse="sparsified") > 13
    lines = {"coarse": "sparsified", "smoother": LineGaussSeidel()}
    check_spd(Multigrid(A, **lines))


def test_coarse_operators_have_names():
    A = Laplacian(Grid((9, 9)))
    with pytest.raises(ValueError, match=r"'galerkin' .* or 'sparsified'.* re-discretised"):
        Multigrid(A, coarse="rediscretised")
    with pytest.raises(ValueError, match="Did you mean 'sparsified'"):
        Multigrid(A, coarse="sparsed")
    M = Multigrid(A, coarse="sparsified", shares=equal_shares)
    assert (M.coarse, M.shares, M.spec.kind) == ("sparsified", equal_shares, "V")
    with pytest.raises(ValueError, match="not periodic"):
        Multigrid(Laplacian(Grid((8, 8), boundary="periodic")), coarse="sparsified")


def test_variants_share_their_levels(piecewise, generator):
    grid = Grid((66, 60))
    A = Diffusion(piecewise(grid), grid)
    M = Multigrid(A, smoother=Jacobi(0.8))
    u = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    for damping in (0.5, 0.7):
        other = M.variant(smoother=Jacobi(damping))
        assert other._hierarchy is M._hierarchy
        assert torch.equal(other @ u, Multigrid(A, smoother=Jacobi(damping)) @ u)
    assert not M.variant(kind="F").symmetric
    # The loops for a plane run one cycle only: another one is set up.
    plane = Multigrid(A)
    torch.testing.assert_close(plane.variant(pre=2) @ u, Multigrid(A, sweeps=(2, 1)) @ u)


def test_walls_and_floating_regions(generator):
    """Two chambers and a closed cell, each with its own constant."""
    fluid = torch.ones(66, 50, dtype=torch.bool)
    fluid[:, 20:23] = False
    fluid[40:44, 30:40] = False
    fluid[42, 35] = True
    grid = Grid(tuple(fluid.shape), boundary="neumann", placement="centers")
    A = Diffusion(1.0, grid, fluid=fluid)
    assert A.regions.num_floating == 3
    M = Multigrid(A)
    b = A.project(torch.randn(grid.shape, generator=generator, dtype=torch.float64))
    result = cg(A, b, M=M, rtol=1e-9)
    assert result.converged
    assert result.iterations <= 20
    assert result.x[~fluid].count_nonzero() == 0
    u, v = (A.project(torch.randn(grid.shape, generator=generator).double()) for _ in range(2))
    assert ((M @ u) * v).sum().item() == pytest.approx(((M @ v) * u).sum().item(), rel=1e-9)


def test_rough_coefficients_leave_coarse_levels_positive(generator, monkeypatch):
    """With negative weights the lumped reaction of a coarse level is negative in 8 of these 20."""
    monkeypatch.setattr(layout, "DIRECT", 1)
    grid = Grid(
        (8, 6, 6),
        (20.0, 3.0, 20.0),
        ("neumann", "periodic", "dirichlet"),
        ("endpoints", "left", "interior"),
    )
    for _ in range(20):
        noise = torch.randn(grid.shape, generator=generator, dtype=torch.float64)
        check_spd(Multigrid(Diffusion(torch.exp(1.5 * noise), grid, reaction=1000.0)))


def test_one_dimension_is_solved_exactly(generator):
    for boundary in ("dirichlet", "neumann", "periodic"):
        grid = Grid((1001,), boundary=boundary)
        A = Diffusion(torch.rand(1001, generator=generator, dtype=torch.float64) + 0.01, grid)
        u = A.project(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
        torch.testing.assert_close(Multigrid(A) @ (A @ u), u, rtol=1e-7, atol=1e-7)


def test_full_multigrid_reaches_the_error_of_the_discretisation():
    for n in (65, 129, 257):
        grid = Grid((n, n))
        x, y = grid.nodes()[:, 1:-1, 1:-1]
        exact = torch.sin(math.pi * x) * torch.sin(2 * math.pi * y)
        A = Laplacian(grid)
        b = 5 * math.pi**2 * exact
        fine = cg(A, b, M=Multigrid(A), rtol=1e-12).x
        once = Multigrid(A, cycle="full", sweeps=(2, 1), mirrored=False) @ b
        discretisation = (fine - exact).norm()
        assert (once - fine).norm() < 0.5 * discretisation


def test_cycles_that_cannot_be_are_refused():
    A = Laplacian(Grid((20, 20), boundary="neumann"))
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    with pytest.raises(ValueError, match="at least one sweep"):
        Multigrid(A, sweeps=(0, 0))
    with pytest.raises(ValueError, match="Unknown cycle"):
        Multigrid(A, cycle="X") @ b


def test_a_single_level_is_the_exact_inverse(generator):
    grid = Grid((9, 40))
    A = Diffusion(torch.rand(9, 40, generator=generator, dtype=torch.float64) + 0.1, grid)
    M = Multigrid(A)
    assert M.shapes == [(7, 38)]
    u = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(M @ (A @ u), u, rtol=1e-11, atol=1e-11)


def test_batches_dtypes_and_strides_agree_with_one_field(generator, piecewise):
    grid = Grid((30, 41))
    M = Multigrid(Diffusion(piecewise(grid), grid))
    u = torch.randn(2, 3, *M.grid.shape, generator=generator, dtype=torch.float64)
    assert torch.equal((M @ u)[1, 2], M @ u[1, 2])
    assert torch.equal((M @ u.transpose(0, 1))[2, 1], M @ u[1, 2])
    assert (M @ u.float()).dtype == torch.float32
    torch.testing.assert_close((M @ u.float()).double(), M @ u, rtol=1e-4, atol=1e-6)


def test_single_precision_cycle_costs_no_iterations(piecewise):
    grid = Grid((129, 129))
    k = piecewise(grid)
    A = Diffusion(k, grid)
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    double = cg(A, b, M=Multigrid(A), rtol=1e-10)
    single = cg(A, b, M=Multigrid(Diffusion(k.float(), grid)), rtol=1e-10)
    assert single.converged
    assert single.iterations <= double.iterations + 1


def test_works_as_scipys_preconditioner_and_survives_pickling(piecewise):
    from scipy.sparse.linalg import cg as scipy_cg

    grid = Grid((65, 65))
    A = Diffusion(piecewise(grid), grid)
    M = pickle.loads(pickle.dumps(Multigrid(A)))
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    steps = []
    x, info = scipy_cg(
        A.to_csr(), b.numpy().ravel(), M=M.to_scipy(), rtol=1e-8, callback=steps.append
    )
    assert info == 0
    assert len(steps) <= 9
    torch.testing.assert_close(
        torch.from_numpy(x).reshape(63, 63), cg(A, b, M=M, rtol=1e-10).x, rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("coefficient", ["constant", "variable"])
@pytest.mark.parametrize("smoother", [None, LineGaussSeidel()], ids=["points", "lines"])
def test_a_pickled_cycle_is_the_same(coefficient, smoother, piecewise, generator):
    grid = Grid((65, 65))
    A = Laplacian(grid) if coefficient == "constant" else Diffusion(piecewise(grid), grid)
    M = Multigrid(A, smoother=smoother)
    u, v = torch.randn(2, *A.grid.shape, generator=generator, dtype=torch.float64)
    assert torch.equal(pickle.loads(pickle.dumps(M)) @ u, M @ u)
    # The first cycle leaves calls on work arrays behind, which a copy must not take over.
    for copied in (pickle.loads(pickle.dumps(M)), deepcopy(M)):
        assert torch.equal(copied @ v, M @ v)


def test_repr_shows_the_hierarchy():
    grid = Grid((65, 42), (1.0, 0.7))
    M = Multigrid(Diffusion(torch.rand(65, 42) + 1, grid))
    assert repr(M) == "Multigrid(63 x 40 > 31 x 20)"


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_bound_to_its_fields_it_is_the_same(boundary, dtype, piecewise, generator, monkeypatch):
    """On a plane, in the loops for any box, where constants are projected away, and in single
    precision between double ones."""
    monkeypatch.setattr(layout, "DIRECT", 100)
    grid = Grid((24, 20), boundary=boundary)
    M = Multigrid(Diffusion(piecewise(grid), grid).to(dtype))
    b = torch.randn(M.grid.shape, generator=generator, dtype=torch.float64)
    out = torch.empty_like(b)
    cycle = M.bind(b, out)
    for _ in range(2):
        cycle()
        assert torch.equal(out, M @ b)
        b += torch.randn(b.shape, generator=generator, dtype=torch.float64)


def test_single_solid_cells_at_closed_sides_cost_nothing(generator):
    """A node between a closed side and a solid cell must not take half of its correction from
    beyond the side: constants would leak, more on each level (19 iterations at 511²)."""
    shape = (127, 130)
    fluid = torch.rand(shape, generator=generator) > 0.05
    counts = []
    for boundary in ("dirichlet", "neumann"):
        placement = "interior" if boundary == "dirichlet" else "centers"
        A = Diffusion(1.0, Grid(shape, 1.0, boundary, placement), fluid=fluid)
        b = A.project(torch.randn(shape, generator=generator, dtype=torch.float64))
        counts.append(cg(A, b, M=Multigrid(A), rtol=1e-8).iterations)
    assert counts[1] <= counts[0] + 1
