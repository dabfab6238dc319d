"""Sparsified coarse operators: what they preserve of Pᵀ A P, and loops against their twin."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.blackbox import Cycle, layout
from pdeops.kernels.blackbox import plane_layout as plane
from pdeops.kernels.blackbox import reference as plain
from pdeops.kernels.blackbox.box_hierarchy import BoxHierarchy
from pdeops.kernels.blackbox.plane_hierarchy import PlaneHierarchy
from pdeops.kernels.blackbox.reference import ReferenceHierarchy
from pdeops.kernels.blackbox.sparsify import Stencil, equal_shares, receivers, sparsify
from pdeops.solvers import Diffusion
from pdeops.solvers.multigrid.hierarchy import system_of

TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-5}


def some_shares(stencil):
    """Positive and unlike each other, the same for whoever asks."""
    like = equal_shares(stencil)
    return (
        torch.exp(torch.sin(torch.arange(like.numel(), dtype=torch.float64)))
        .view_as(like)
        .to(like.dtype)
    )


def uniform(n, couplings):
    """A stencil with the same couplings at all nodes, by offset."""
    shape = [layout.padded(k) for k in n]
    return Stencil(n, {o: torch.full(shape, c, dtype=torch.float64) for o, c in couplings.items()})


def half(ndim):
    return [tuple(o) for o in layout.half_stencil([True] * ndim).tolist()]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_each_coupling_is_given_to_the_edges_of_its_cell(ndim):
    """m axes change along it: 2^(m-1) edges of each of these."""
    given = receivers(ndim)
    for o in half(ndim):
        m = sum(map(abs, o))
        expected = m * 2 ** (m - 1) if m > 1 else 0
        assert sum(r[0] == o for r in given) == expected


@pytest.mark.parametrize("n", [(6, 5), (4, 3, 4)])
def test_equal_shares_keep_the_energy_of_linear_fields(n):
    """Away from the sides, where cells are whole. With diagonals alike; with one of two crossing
    ones alone linear fields know a direction that edges do not."""
    ndim = len(n)
    couplings = {o: 1.0 if sum(map(abs, o)) == 1 else 0.3 for o in half(ndim)}
    stencil = uniform(n, couplings)
    edges = sparsify(stencil, equal_shares(stencil))
    middle = tuple(k // 2 for k in n)
    slope = torch.tensor([1.0, -0.7, 0.4][:ndim], dtype=torch.float64)
    before = sum(
        c * (slope * torch.tensor(o, dtype=torch.float64)).sum().item() ** 2
        for o, c in couplings.items()
    )
    after = sum(e[middle].item() * s.item() ** 2 for e, s in zip(edges, slope, strict=True))
    assert after == pytest.approx(before)
    alone = {o: c if o != (1,) * ndim else 0.0 for o, c in couplings.items()}
    stencil = uniform(n, alone)
    edges = sparsify(stencil, equal_shares(stencil))
    before -= 0.3 * slope.sum().item() ** 2
    after = sum(e[middle].item() * s.item() ** 2 for e, s in zip(edges, slope, strict=True))
    assert abs(after - before) > 0.01


@pytest.mark.parametrize("shape", [(19, 23), (9, 11, 13)])
def test_of_a_constant_coefficient_the_coarse_operator_is_the_re_discretised_one(shape):
    """Bilinear Pᵀ A P of −Δ has the nine points 1/3 (8; -1 ...): sparsified it is the five points
    of the grid twice as coarse, 2^(d-2) times as large."""
    ndim = len(shape)
    A = Diffusion(1.0, Grid(shape, tuple(n + 1.0 for n in shape), "dirichlet", "interior"))
    coarsened = [[True] * ndim]
    levels = plain.build_levels(A.faces, None, [False] * ndim, coarsened, False, equal_shares)
    coarse = levels[1]
    for o, c in coarse.couplings.items():
        inner = c[tuple(slice(2, k) for k in coarse.n)]
        expected = 2.0 ** (ndim - 2) if sum(map(abs, o)) == 1 else 0.0
        torch.testing.assert_close(inner, torch.full_like(inner, expected))


def random_operator(shape, generator, dtype, boundary="dirichlet", solid=0.0):
    grid = Grid(shape, 1.0, boundary)
    a = torch.exp(2 * torch.randn(shape, generator=generator, dtype=torch.float64))
    fluid = torch.rand(shape, generator=generator) >= solid if solid else None
    return Diffusion(a.to(dtype), grid, fluid=fluid)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
@pytest.mark.parametrize("shape", [(19, 19), (20, 27), (39, 24), (18, 19)])
@pytest.mark.parametrize(
    ("shares", "num_sparsified"), [(equal_shares, 1), (some_shares, 1), (some_shares, 9)]
)
def test_plane_is_sparsified_as_its_twin(
    shape, dtype, shares, num_sparsified, generator, monkeypatch
):
    monkeypatch.setattr(layout, "DIRECT", 100)
    A = random_operator(shape, generator, dtype)
    ours = PlaneHierarchy(system_of(A), shares, num_sparsified)
    both = [(True, True)] * (len(ours.shapes) - 1)
    levels = plain.build_levels(A.faces, None, A.periodic, both, False, shares, (), num_sparsified)
    _, _, store, table, _ = ours._arrays
    n, m = ours.shapes[1]
    cx, cy, _, _ = plane.couplings(store, table[1], False)
    for c, offset in ((cx, (1, 0)), (cy, (0, 1))):
        expected = levels[1].couplings[offset][1 : n + 1, 1 : m + 1]
        gap = (torch.from_numpy(c[1 : n + 1, 1 : m + 1]) - expected).abs().max()
        assert gap < TOLERANCE[dtype] * expected.abs().max()
    b = torch.randn(1, *A.grid.shape, generator=generator, dtype=dtype)
    u, v = torch.empty_like(b), torch.empty_like(b)
    ours.run(b, u, Cycle())
    v.copy_(plain.apply_cycle(b, levels, layout.schedule(len(levels), "V").tolist()))
    assert (u - v).abs().max() < TOLERANCE[dtype] * v.abs().max()


CASES = {
    "plane": {"shape": (30, 27)},
    "open and closed": {"shape": (30, 27), "boundary": ("neumann", "dirichlet")},
    "walls": {"shape": (28, 30), "boundary": "neumann", "solid": 0.25},
    "box": {"shape": (11, 12, 9)},
    "box with walls": {"shape": (10, 9, 12), "boundary": "neumann", "solid": 0.3},
}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("num_sparsified", [1, 9])
def test_boxes_are_their_twin(case, num_sparsified, dtype, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)
    A = random_operator(dtype=dtype, generator=generator, **CASES[case])
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    b = A.project(b.to(dtype))[None]
    u, v = torch.full_like(b, torch.nan), torch.full_like(b, torch.nan)
    how = {"shares": some_shares, "num_sparsified": num_sparsified}
    ours = BoxHierarchy(system_of(A), **how)
    assert len(ours.shapes) > 2
    ours.run(b, u, Cycle())
    ReferenceHierarchy(system_of(A), **how).run(b, v, Cycle())
    u, v = A.project(u[0]), A.project(v[0])
    scale = 1e3 if dtype == torch.float32 and "walls" in case else 1  # nearly singular
    assert (u - v).abs().max() < scale * TOLERANCE[dtype] * v.abs().max()
