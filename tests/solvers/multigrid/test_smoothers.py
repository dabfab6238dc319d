import math
from itertools import product

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.blackbox import layout
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion, Laplacian, Multigrid
from pdeops.solvers.multigrid.smoothers import (
    Chebyshev,
    GaussSeidel,
    Jacobi,
    LineGaussSeidel,
    suited,
)


def anisotropic(n, ratio, contrast, boundary="dirichlet"):
    """Couplings `ratio` times stronger along the last axis; a is 1 or `contrast` in blobs."""
    grid = Grid((n, n), (ratio**0.5, 1.0), boundary)
    x, y = grid.nodes()
    blobs = torch.sin(9 * x / ratio**0.5) * torch.sin(7 * y + 1) > 0
    return Diffusion(torch.where(blobs, contrast, 1.0).double(), grid)


def turning(n, ratio, boundary="dirichlet"):
    """The strong axis is the first in half of the squares of a chess board, the last in others."""
    grid = Grid((n, n), boundary=boundary)
    x, y = grid.nodes()
    first = torch.sin(9 * x) * torch.sin(7 * y + 1) > 0
    along = [torch.where(where, ratio, 1.0).double() for where in (first, ~first)]
    faces = [Diffusion(a, grid).faces[axis] for axis, a in enumerate(along)]
    return Diffusion.from_faces(faces, Diffusion(1.0, grid).grid)


@pytest.mark.parametrize("ratio", [10.0, 100.0, 1000.0])
@pytest.mark.parametrize("contrast", [1.0, 4.0])
def test_lines_along_the_strong_axis_make_anisotropy_easy(ratio, contrast, steps):
    """Also across jumps, since interpolation between lines follows them; else it would take 7."""
    for n in (65, 129, 257):
        A = anisotropic(n, ratio, contrast)
        assert isinstance(suited(A), LineGaussSeidel)
        assert steps(A) <= 6
        # Along the weak axis, coarsened alone then, lines are no worse than points.
        assert steps(A, smoother=LineGaussSeidel((0,))) <= 9


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic"])
def test_lines_along_each_axis_follow_an_anisotropy_that_turns(boundary, steps):
    """Points, as a control, take five times as many iterations."""
    for n in (65, 129, 257):
        A = turning(n - (boundary == "periodic"), 100.0, boundary)
        assert isinstance(suited(A), LineGaussSeidel)
        assert steps(A) <= 12
        assert steps(A, smoother=GaussSeidel()) >= 3 * 12


@pytest.mark.parametrize("axes", [None, (0,), (1,), (1, 0)])
@pytest.mark.parametrize("kind", ["V", "W"])
def test_mirrored_lines_are_symmetric(axes, kind, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)
    for A in (anisotropic(41, 100.0, 4.0), turning(40, 100.0, "neumann")):
        smoother = LineGaussSeidel(axes)
        check_spd(Multigrid(A, cycle=kind, smoother=smoother))
        wrong = Multigrid(A, cycle=kind, smoother=smoother, mirrored=False)
        assert not wrong.symmetric
        with pytest.raises(ValueError, match="not symmetric"):
            check_spd(wrong)


def test_lines_in_a_box(steps):
    """One strong axis of three; and two of them, where a line is not enough and points do."""
    one, two = (
        Diffusion(torch.ones(33, 33, 33, dtype=torch.float64), Grid((33, 33, 33), extent))
        for extent in ((30.0, 1.0, 30.0), (1.0, 30.0, 1.0))
    )
    assert suited(one).lines(one) == (1,)
    assert steps(one) <= 6
    assert suited(two) == GaussSeidel()
    assert steps(two) <= 9
    assert steps(two, smoother=LineGaussSeidel()) <= 6


def test_points_where_no_axis_dominates(piecewise):
    for box in ({}, {"boundary": "neumann"}, {"boundary": "periodic"}):
        grid = Grid((64, 64), **box)
        for contrast in (1.0, 1e4):
            assert suited(Diffusion(piecewise(grid, 1.0, contrast), grid)) == GaussSeidel()
    # Jumps beyond the anisotropy: here and there the other axis is the strong one.
    assert suited(anisotropic(65, 100.0, 1e4)) == GaussSeidel()
    assert suited(Laplacian(Grid((65,)))) == GaussSeidel()
    fluid = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) > 0.4
    walls = Grid((64, 64), boundary="neumann", placement="centers")
    assert suited(Diffusion(1.0, walls, fluid=fluid)) == GaussSeidel()


def test_an_axis_dominates_node_by_node(steps):
    """However much a varies over the plane; one small obstacle is enough to doubt."""
    for axis, boundary in product((0, 1), ("dirichlet", "neumann", "periodic")):
        extent = (1.0, 30.0) if axis == 0 else (30.0, 1.0)
        grid = Grid((64, 64), extent, boundary)
        angles = [2 * math.pi * x / L for x, L in zip(grid.nodes(), extent, strict=True)]
        a = torch.exp(6 * torch.sin(angles[0]) * torch.sin(angles[1]))  # from 1 / 400 to 400
        A = Diffusion(a, grid)
        assert suited(A).lines(A) == (axis,)
        assert steps(A) <= 7
        a[40:43, 20:23] *= 1e4  # at its ends the other axis is the strong one
        assert suited(Diffusion(a, grid)) == GaussSeidel()


def test_axes_of_lines_are_axes():
    A = Laplacian(Grid((9, 9)))
    with pytest.raises(ValueError, match=r"axes are 0 to 1"):
        Multigrid(A, smoother=LineGaussSeidel((2,)))
    for wrong in ((), (0, 0)):
        with pytest.raises(ValueError, match="each once"):
            LineGaussSeidel(wrong)


def test_a_variant_with_lines_has_levels_of_its_own(generator):
    A = turning(65, 100.0)
    points, lines = (Multigrid(A, smoother=s) for s in (GaussSeidel(), LineGaussSeidel()))
    u = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    assert torch.equal(points.variant(smoother=LineGaussSeidel()) @ u, lines @ u)
    assert torch.equal(lines.variant(smoother=GaussSeidel()) @ u, points @ u)
    assert lines.variant(kind="W")._hierarchy is lines._hierarchy


def test_chebyshev_is_the_smallest_polynomial_on_its_interval():
    x = torch.linspace(0.5, 2, 1001, dtype=torch.float64)
    for degree in (1, 2, 3, 5):
        p = torch.stack([1 - omega * x for omega in Chebyshev(degree).lengths]).prod(0)
        smallest = 1 / math.cosh(degree * math.acosh(1.25 / 0.75))  # 1 / T_k
        assert p.abs().max().item() == pytest.approx(smallest, rel=1e-9)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Jacobi(1.5)
    with pytest.raises(ValueError, match="degree of 1 to 8"):
        Chebyshev(0)
