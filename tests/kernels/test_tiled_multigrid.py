"""Tiled multigrid: its identities, its convergence, and which form serves."""

from dataclasses import replace

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels import blackbox, tiled_multigrid
from pdeops.kernels.blackbox import Cycle, System, device, layout
from pdeops.kernels.blackbox.reference import ReferenceHierarchy
from pdeops.kernels.blackbox.sparsify import equal_shares
from pdeops.kernels.tiled_multigrid import reference
from pdeops.kernels.tiled_multigrid.hierarchy import TiledHierarchy
from pdeops.solvers import Diffusion
from pdeops.solvers.multigrid.hierarchy import system_on
from pdeops.solvers.multigrid.smoothers import Chebyshev

CHEBYSHEV = Cycle(lengths=Chebyshev(2).lengths)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def system(n, strength=None, excess=True):
    faces = [draw(*(k + (a == b) for b, k in enumerate(n)), seed=a).exp() for a in range(len(n))]
    e = draw(*n, seed=9).exp() if excess else None
    return System(faces, e, (False,) * len(n), strength or (1.0,) * len(n))


@pytest.fixture
def several_levels(monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)


def run(hierarchy, b, cycle):
    out = torch.full_like(b, torch.nan)
    hierarchy.run(b, out, cycle)
    return out


def unequal_shares(stencil):
    """As a network has: positive, different for each edge and cell."""
    return (0.3 * draw(*equal_shares(stencil).shape, seed=3)).exp()


@pytest.mark.parametrize("lines", [(), (1,)])
@pytest.mark.parametrize("strength", [(1.0, 1.0), (0.1, 1.0)])
@pytest.mark.parametrize("kind", ["V", "full"])
def test_cycles_equal_those_of_black_box_multigrid(several_levels, lines, strength, kind):
    given, b = system((20, 13), strength), draw(2, 20, 13)
    cycle = Cycle(kind, 1, 2, lengths=() if lines else (0.6, 0.9))
    hierarchy = TiledHierarchy(given, lines)
    assert len(hierarchy.levels) > 3
    expected = run(ReferenceHierarchy(given, lines), b, cycle)
    torch.testing.assert_close(run(hierarchy, b, cycle), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("n", "number"), [((20, 13), 1), ((7, 6, 9), 9)])
def test_sparsified_levels_equal_those_of_black_box_multigrid(several_levels, n, number):
    given, b, ndim = system(n), draw(2, *n), len(n)
    hierarchy = TiledHierarchy(given, (), unequal_shares, number)
    stored = [len(level.c) for level in hierarchy.levels[1:]]
    whole = 3**ndim // 2
    assert stored == [ndim if k < number else whole for k in range(len(stored))]
    expected = run(ReferenceHierarchy(given, (), unequal_shares, number), b, CHEBYSHEV)
    torch.testing.assert_close(run(hierarchy, b, CHEBYSHEV), expected, rtol=1e-12, atol=1e-14)


def test_boxes_and_one_unknown(several_levels):
    for n in ((5, 4, 3), (1, 1), (1,), (40,)):
        given, b = system(n, excess=False), draw(2, *n)
        expected = run(ReferenceHierarchy(given), b, CHEBYSHEV)
        found = run(TiledHierarchy(given), b, CHEBYSHEV)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_restriction_is_the_transpose_of_interpolation():
    given = system((9, 6))
    level = tiled_multigrid.from_faces(given.faces, given.excess, (True, True))
    level = replace(level, w=tiled_multigrid.weights(level))
    r, U = level.c.new_zeros(1, *level.c.shape[1:]), level.c.new_zeros(1, *level.w.shape[1:])
    r[level.inside] = draw(1, 9, 6)
    U[..., 1:5, 1:4] = draw(1, 4, 3)
    PU = tiled_multigrid.smooth(level, None, r, (), U)
    torch.testing.assert_close((r * PU).sum(), (tiled_multigrid.restrict(level, None, r) * U).sum())


@pytest.mark.parametrize(
    ("lines", "cycle"), [((), CHEBYSHEV), ((), replace(CHEBYSHEV, kind="W")), ((0,), Cycle())]
)
def test_cycles_are_symmetric_and_positive_definite(several_levels, lines, cycle):
    hierarchy = TiledHierarchy(system((11, 14)), lines)
    u, v = draw(2, 11, 14)
    Mu, Mv = run(hierarchy, torch.stack([u, v]), cycle)
    torch.testing.assert_close((Mu * v).sum(), (u * Mv).sum(), rtol=1e-12, atol=0)
    assert (u * Mu).sum() > 0


def convergence_factor(A, coarsest, steps=8):
    """|I - M A| in the energy norm, by power iteration."""
    hierarchy = TiledHierarchy(system_on(A, A.device, torch.float64))
    assert len(hierarchy.levels) >= coarsest
    u = draw(1, *A.grid.shape)
    factor = 0.0
    for _ in range(steps):
        before = (u * (A @ u)).sum().sqrt()
        u = u - run(hierarchy, A @ u, CHEBYSHEV)
        factor = ((u * (A @ u)).sum().sqrt() / before).item()
    return factor


def test_convergence_does_not_depend_on_the_grid(several_levels):
    """Two steps of Chebyshev before and after the correction; if an error were
    reduced by neither, the factor would grow towards 1."""
    factors = [convergence_factor(Diffusion(1.0, Grid((n, n))), k) for n, k in ((17, 2), (33, 3))]
    assert max(factors) < 0.12
    assert abs(factors[0] - factors[1]) < 0.03


def test_interpolation_follows_jumps_of_the_coefficient(several_levels, monkeypatch):
    """Squares of 1 and 1e4. Control: interpolation without the coefficient."""
    values = torch.where(draw(7, 7) > 0, 1e4, 1.0).double()
    a = values.repeat_interleave(5, 0).repeat_interleave(5, 1)
    A = Diffusion(a, Grid(tuple(a.shape)))
    followed = convergence_factor(A, 3, steps=12)

    def without_coefficient(level, lines):
        return reference.weights(replace(level, c=torch.ones_like(level.c)))

    monkeypatch.setattr(tiled_multigrid, "weights", without_coefficient)
    ignored = convergence_factor(A, 3, steps=12)
    assert followed < 0.65
    assert ignored > 0.9


def test_a_constant_coefficient_is_one_number_with_strides_of_zero():
    A = Diffusion(3.0, Grid((12, 15), (1.0, 2.0)), reaction=0.5)
    constant = system_on(A, A.device, torch.float64)
    assert not any(stride for f in constant.faces for stride in f.stride())
    stored = System(list(A.faces), A.excess, (False, False), constant.strength)
    b = draw(2, *A.grid.shape)
    torch.testing.assert_close(
        run(TiledHierarchy(constant), b, CHEBYSHEV), run(TiledHierarchy(stored), b, CHEBYSHEV)
    )
    level = tiled_multigrid.from_faces(constant.faces, constant.excess, (False, False))
    u = level.c.new_zeros(2, *level.c.shape[1:])
    u[level.inside] = b
    torch.testing.assert_close(tiled_multigrid.product(level, u)[level.inside], A @ b)


def test_reasons_against_kernels_and_one_message(caplog, fresh_messages):
    periodic = System([torch.ones(9, 8), torch.ones(8, 9)], None, (True, False), (1.0, 1.0))
    for _ in range(2):
        assert isinstance(device.set_up(periodic, CHEBYSHEV, (), None, 1), ReferenceHierarchy)
    assert caplog.text.count("periodic axes have no kernels") == 1
    given = system((5, 5))
    assert "Gauss-Seidel by points" in str(device.unfit(given, Cycle(), ()))
    assert isinstance(device.set_up(given, CHEBYSHEV, (), None, 1), TiledHierarchy)
    assert blackbox.prefers_polynomials(torch.device("cuda"))
    assert not blackbox.prefers_polynomials(torch.device("cpu"))
