"""MultigridCG: the solution, the columns of a batch, precisions, and what it refuses."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid, MultigridCG, cg
from pdeops.solvers.krylov.device_cg import DeviceCG
from pdeops.solvers.multigrid.smoothers import Chebyshev, GaussSeidel, LineGaussSeidel


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture(scope="module")
def rough():
    """A coefficient of two values in squares."""
    a = torch.where(draw(9, 9) > 0, 30.0, 1.0).double()
    return Diffusion(a.repeat_interleave(4, 0).repeat_interleave(4, 1), Grid((36, 36)))


def exact(A, b):
    matrix = torch.from_numpy(A.to_csr().toarray())
    return torch.linalg.solve(matrix, b.reshape(-1, A.grid.num_nodes).T).T.reshape(b.shape)


def test_it_solves_to_the_tolerance_with_a_cycle_in_single_precision(rough):
    b = draw(*rough.grid.shape)
    result = MultigridCG(rough).solve(b, rtol=1e-11)
    assert result.converged
    assert result.residual <= 1e-11
    assert (b - rough @ result.x).norm() <= 1.001e-11 * b.norm()
    torch.testing.assert_close(result.x, exact(rough, b), rtol=1e-8, atol=1e-11)


def test_it_makes_the_iterations_of_cg_with_the_same_cycle(rough):
    b = draw(*rough.grid.shape)
    found = MultigridCG(rough, precision=torch.float64).solve(b)
    expected = cg(rough, b, M=Multigrid(rough, smoother=Chebyshev()))
    assert found.iterations == expected.iterations
    torch.testing.assert_close(found.x, expected.x, rtol=1e-9, atol=1e-12)
    assert found.residuals == pytest.approx(expected.residuals, rel=1e-4)
    assert MultigridCG(rough).solve(b).iterations == expected.iterations


def test_checks_may_be_rare_and_columns_stop_on_their_own(rough):
    """A column that has converged does not change until the next check."""
    b = draw(3, *rough.grid.shape)
    b[1] = 0
    x0 = torch.zeros_like(b)
    x0[2] = exact(rough, b[2])
    often, rarely = (MultigridCG(rough, check_every=k).solve(b, x0=x0) for k in (1, 7))
    assert torch.equal(often.x, rarely.x)
    assert often.converged
    assert [c.iterations for c in rarely.columns] == [c.iterations for c in often.columns]
    assert [c.iterations for c in often.columns][1:] == [0, 0]
    assert not often.x[1].any()
    alone = MultigridCG(rough).solve(b[0])
    assert alone.iterations == often.columns[0].iterations
    torch.testing.assert_close(alone.x, often.x[0], rtol=1e-7, atol=1e-10)


def test_one_object_solves_for_other_batches_and_dtypes(rough):
    solver = MultigridCG(rough)
    b = draw(2, *rough.grid.shape)
    first = solver.solve(b[0]).x
    assert solver.solve(b).converged
    single = solver.solve(b[0].float(), rtol=1e-5)
    assert single.converged
    assert single.x.dtype == torch.float32
    assert torch.equal(solver.solve(b[0]).x, first)


@pytest.mark.parametrize("strong", [0, 1])
def test_lines_solve_anisotropic_problems(strong):
    extent = [20.0, 20.0]
    extent[strong] = 1.0
    A = Diffusion(1.0, Grid((20, 23), tuple(extent)))
    b = draw(*A.grid.shape)
    solver = MultigridCG(A)
    assert "LineGaussSeidel" in repr(solver)
    result = solver.solve(b)
    assert result.iterations <= 6
    torch.testing.assert_close(result.x, exact(A, b), rtol=1e-6, atol=1e-9)


def test_boxes_with_solid_nodes():
    fluid = torch.ones(8, 7, 9, dtype=torch.bool)
    fluid[3:6, 2:4, 4:7] = False
    A = Diffusion(draw(8, 7, 9).exp(), Grid((8, 7, 9)), fluid=fluid)
    b = draw(*A.grid.shape)
    result = MultigridCG(A).solve(b)
    inside = fluid[1:-1, 1:-1, 1:-1]
    assert result.converged
    assert not result.x[~inside].any()
    b = torch.where(inside, b, 0)
    assert (b - A @ result.x).norm() <= 1.001e-8 * b.norm()


def test_dirichlet_holes():
    """u = 0 at the nodes of a hole: their couplings become an excess of their neighbours."""
    A = Diffusion(draw(20, 22).exp(), Grid((20, 22)))
    hole = torch.zeros(A.grid.shape, dtype=torch.bool)
    hole[6:11, 8:12] = True
    faces, excess = [f.clone() for f in A.faces], torch.zeros(A.grid.shape).double()
    for axis, f in enumerate(faces):
        n = A.grid.shape[axis]
        lower, upper = f.narrow(axis, 0, n), f.narrow(axis, 1, n)
        at = hole.narrow(axis, 0, n - 1), hole.narrow(axis, 1, n - 1)
        excess.narrow(axis, 1, n - 1)[at[0]] += lower.narrow(axis, 1, n - 1)[at[0]]
        excess.narrow(axis, 0, n - 1)[at[1]] += upper.narrow(axis, 0, n - 1)[at[1]]
        lower[hole], upper[hole] = 0, 0
    excess[hole] = 0
    holed = Diffusion.from_faces(faces, A.grid, excess)
    b = torch.where(hole, 0, draw(*A.grid.shape))
    result = MultigridCG(holed).solve(b, rtol=1e-10)
    assert result.converged
    matrix = torch.from_numpy(A.to_csr().toarray())
    kept = ~hole.flatten()
    x = torch.linalg.solve(matrix[kept][:, kept], b.flatten()[kept])
    torch.testing.assert_close(result.x.flatten()[kept], x, rtol=1e-7, atol=1e-10)


def test_round_off_and_limits_are_reasons(rough):
    b = draw(*rough.grid.shape)
    assert "round-off" in MultigridCG(rough).solve(b, rtol=1e-17).reason
    short = MultigridCG(rough).solve(b, max_iterations=3)
    assert not short.converged
    assert "max_iterations = 3" in short.reason


def test_a_breakdown_is_reported_and_leaves_the_other_columns_alone():
    scale = torch.tensor([[2.0], [3.0]]).double()
    sign = torch.tensor([[1.0], [-1.0]]).double()
    b = draw(2, 5)
    solver = DeviceCG(lambda u: scale * u, lambda u: sign * u, b, 3)
    good, bad = solver.solve(b, None, 1e-10, 20)
    assert good.converged
    torch.testing.assert_close(good.x, b[0] / 2)
    assert not bad.converged
    assert "breakdown" in bad.reason


def test_a_new_solution_does_not_divide_by_the_last_residual():
    """Its square is 1e-33 or less, so that β would be infinite in single precision."""
    b, scale = draw(1, 5).float(), torch.linspace(1, 2, 5)
    solver = DeviceCG(lambda u: scale * u, torch.clone, b, 3)
    for size in (1e-13, 1e3):
        (result,) = solver.solve(size * b, None, 1e-4, 20)
        assert result.converged
        torch.testing.assert_close(result.x, size * b[0] / scale, rtol=1e-3, atol=0)


def test_slow_convergence_ends_at_the_tolerance_whatever_the_checks():
    """Without a preconditioner residuals lie close to the tolerance before they reach it."""
    A = Diffusion(1.0, Grid((42,)))
    b = draw(4, 40)
    results = [DeviceCG(A.apply, torch.clone, b, k).solve(b, None, 1e-3, 60) for k in (1, 9)]
    for often, rarely in zip(*results, strict=True):
        assert often.converged
        assert often.iterations == rarely.iterations > 9
        assert often.residuals[-2] > 1e-3 >= often.residual
        assert torch.equal(often.x, rarely.x)


def test_what_it_refuses(rough):
    periodic = Diffusion(1.0, Grid((8, 8), boundary="periodic"), reaction=1.0)
    with pytest.raises(ValueError, match=r"no periodic axis; got .* Use cg"):
        MultigridCG(periodic)
    with pytest.raises(ValueError, match="positive definite"):
        MultigridCG(Diffusion(1.0, Grid((8, 8), boundary="neumann")))
    with pytest.raises(ValueError, match="depends on the order of the nodes"):
        MultigridCG(rough, smoother=GaussSeidel())
    with pytest.raises(ValueError, match="symmetric cycle, 'V' or 'W'; got 'F'"):
        MultigridCG(rough, cycle="F")
    with pytest.raises(ValueError, match="at least 1; got 0 and 4"):
        MultigridCG(rough, sweeps=0)
    with pytest.raises(ValueError, match="must have the shape"):
        MultigridCG(rough, smoother=LineGaussSeidel()).solve(draw(5, 5))
