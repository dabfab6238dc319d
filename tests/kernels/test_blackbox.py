"""The fused loops of black-box multigrid agree with their plain twin, in each dtype."""

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.blackbox import Cycle, layout, plane_layout, plane_setup
from pdeops.kernels.blackbox import reference as plain
from pdeops.kernels.blackbox.box_hierarchy import BoxHierarchy
from pdeops.kernels.blackbox.level_reference import pad, sync
from pdeops.kernels.blackbox.plane_hierarchy import PlaneHierarchy
from pdeops.kernels.blackbox.reference import ReferenceHierarchy
from pdeops.kernels.blackbox.transfer_reference import prolong
from pdeops.solvers import Diffusion
from pdeops.solvers.multigrid.hierarchy import system_of
from pdeops.solvers.multigrid.smoothers import Chebyshev, Jacobi

TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-5}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
ENDS = ("dirichlet", "neumann", "periodic")


def close(actual, expected):
    expected = torch.as_tensor(expected)
    gap = (torch.as_tensor(actual) - expected).abs().max() / expected.abs().max()
    assert gap < TOLERANCE[expected.dtype]


def lognormal(shape, generator, sigma=1.2):
    """Contrast about 1e4."""
    return torch.exp(sigma * torch.randn(*shape, generator=generator, dtype=torch.float64))


def problem(
    shape,
    dtype,
    generator,
    boundary="dirichlet",
    extent=1.0,
    reaction=0.0,
    solid=0.0,
    sigma=1.2,
):
    grid = Grid(shape, extent, boundary)
    fluid = torch.rand(shape, generator=generator) >= solid if solid else None
    k = lognormal(shape, generator, sigma).to(dtype)
    return Diffusion(k, grid, reaction=reaction, fluid=fluid)


def results(A, ours, twin, cycle, generator):
    """Both ways applied to a field, up to the kernel of A; twice, as arrays are used again."""
    for _ in range(2):
        b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
        b = A.project(b.to(A.dtype))
        out = []
        for way in (ours, twin):
            u = torch.full((1, *A.grid.shape), torch.nan, dtype=A.dtype)
            way.run(b[None], u, cycle)
            out.append(A.project(u[0]))
    return out


PROBLEMS = {
    "line": {"shape": (140,)},
    "periodic line": {"shape": (96,), "boundary": "periodic"},
    "plane, even and odd": {"shape": (22, 19)},
    "reaction": {"shape": (22, 19), "reaction": 3.0},
    "neumann and periodic": {"shape": (22, 20), "boundary": ("neumann", "periodic")},
    "torus": {"shape": (24, 28), "boundary": "periodic"},
    "weak in x": {"shape": (22, 20), "boundary": ("neumann", "periodic"), "extent": (8.0, 1.0)},
    "weak in y": {"shape": (19, 24), "extent": (1.0, 5.0)},
    "walls": {"shape": (22, 20), "boundary": "neumann", "solid": 0.25},
    "box": {"shape": (10, 12, 9), "boundary": ENDS},
    "box, weak in y": {"shape": (9, 10, 12), "boundary": ENDS, "extent": (1.0, 6.0, 3.0)},
    "box with walls": {"shape": (8, 10, 9), "boundary": "neumann", "solid": 0.3},
}


@pytest.mark.parametrize("case", PROBLEMS)
@both_dtypes
def test_box(case, dtype, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)  # several levels on small grids
    A = problem(dtype=dtype, generator=generator, **PROBLEMS[case])
    ours, twin = (way(system_of(A)) for way in (BoxHierarchy, ReferenceHierarchy))
    assert ours.shapes == twin.shapes
    assert len(ours.shapes) > 1 + ("line" not in case)
    close(*results(A, ours, twin, Cycle(), generator))


@pytest.mark.parametrize("kind", ["V", "W", "F", "full"])
@pytest.mark.parametrize(("pre", "post", "mirrored"), [(2, 1, False), (1, 2, True)])
def test_schedules(kind, pre, post, mirrored, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)
    A = problem((24, 21), torch.float64, generator, ("periodic", "dirichlet"))
    ours, twin = (way(system_of(A)) for way in (BoxHierarchy, ReferenceHierarchy))
    close(*results(A, ours, twin, Cycle(kind, pre, post, mirrored), generator))


@pytest.mark.parametrize("smoother", [Jacobi(0.7), Chebyshev(3)], ids=repr)
@pytest.mark.parametrize("case", ["torus", "walls", "box"])
def test_smoothers(smoother, case, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)
    A = problem(dtype=torch.float64, generator=generator, **PROBLEMS[case])
    ours, twin = (way(system_of(A)) for way in (BoxHierarchy, ReferenceHierarchy))
    cycle = Cycle("V", 2, 1, lengths=smoother.lengths)
    close(*results(A, ours, twin, cycle, generator))


LINES = {1: [(0,)], 2: [(0,), (1,), (1, 0)], 3: [(1,), (2,), (2, 0, 1)]}  # by dimension


@pytest.mark.parametrize("case", PROBLEMS)
@pytest.mark.parametrize(
    "dtype",
    [torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)],
    ids=["float64", "float32"],
)
def test_lines(case, dtype, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)
    A = problem(dtype=dtype, generator=generator, **PROBLEMS[case])
    for axes in LINES[A.ndim]:
        ours, twin = (way(system_of(A), axes) for way in (BoxHierarchy, ReferenceHierarchy))
        assert ours.shapes == twin.shapes
        close(*results(A, ours, twin, Cycle("V", 2, 1), generator))


def test_a_line_that_touches_no_other_is_solved(generator, monkeypatch):
    """Then one sweep is a direct solver, and all coarser levels have nothing to do."""
    monkeypatch.setattr(layout, "DIRECT", 100)
    shape = (20, 24)
    for axis, boundary in product((0, 1), ("dirichlet", "periodic")):
        grid = Grid(shape, boundary=boundary, placement="centers")
        faces = list(Diffusion(torch.rand(shape, generator=generator).double() + 1, grid).faces)
        faces[1 - axis] *= 0
        A = Diffusion.from_faces(faces, grid, excess=torch.ones(shape, dtype=torch.float64))
        u = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
        for way in (BoxHierarchy, ReferenceHierarchy):
            out = torch.full_like(u, torch.nan)
            way(system_of(A), (axis,)).run(A @ u, out, Cycle())
            close(out, u)


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_the_twin_with_lines_is_differentiable(boundary, generator):
    """In the couplings, through pivots and borders, too."""
    A = problem((6, 8), torch.float64, generator, boundary, reaction=1.0)
    sweep = layout.sweep([True, True], (1, 0)).tolist()

    def apply(fx, fy, b):
        wrap = A.periodic
        faces = (fx, fy)
        if all(wrap):  # the ends of an axis are one face
            faces = (torch.cat((fx[:-1], fx[:1])), torch.cat((fy[:, :-1], fy[:, :1]), 1))
        levels = plain.build_levels(faces, A.excess, wrap, [(True, True)], False, None, (1, 0))
        return plain.apply_cycle(b, levels, layout.schedule(2, "V").tolist(), (1, 1, True), sweep)

    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    arguments = [x.clone().requires_grad_() for x in (*A.faces, b)]
    assert torch.autograd.gradcheck(apply, arguments, fast_mode=True)


class Plane:
    """The twin on the levels of `PlaneHierarchy`."""

    def __init__(self, A, shapes):
        coarsened = [(True, True)] * (len(shapes) - 1)
        singular = not A.positive_definite
        self.levels = plain.build_levels(A.faces, None, A.periodic, coarsened, singular)
        self.steps = layout.schedule(len(shapes), "V").tolist()

    def run(self, b, out, cycle):
        out.copy_(plain.apply_cycle(b, self.levels, self.steps))


@pytest.mark.parametrize(
    "shape", [(19, 19), (20, 19), (19, 20), (22, 26), (39, 23), (11, 52), (3, 9)]
)
@pytest.mark.parametrize("boundary", ["dirichlet", ("dirichlet", "neumann"), "neumann"])
@pytest.mark.parametrize("solid", [0.0, 0.2])
@both_dtypes
def test_plane(shape, boundary, solid, dtype, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)
    A = problem(shape, dtype, generator, boundary, solid=solid)
    ours = PlaneHierarchy(system_of(A))
    twin = Plane(A, ours.shapes)
    assert ours.shapes == [level.n for level in twin.levels]
    close(*results(A, ours, twin, Cycle(), generator))


@pytest.mark.parametrize("shape", [(39, 28), (28, 39)])
def test_plane_sets_up_the_twins_second_level(shape, generator):
    """On later ones the two share a corner's couplings differently among the nodes beyond it."""
    A = problem(shape, torch.float64, generator)
    ours = PlaneHierarchy(system_of(A))
    n, m = ours.shapes[1]
    expected = Plane(A, ours.shapes).levels[1].couplings
    _, _, store, levels, _ = ours._arrays
    inner = np.s_[1 : n + 1, 1 : m + 1]
    for c, offset in zip(
        plane_layout.couplings(store, levels[1], True),
        [(1, 0), (0, 1), (1, 1), (-1, 1)],
        strict=True,
    ):
        # ca, (i+1, j)-(i, j+1), is kept at (i, j); the twin keeps it at (i+1, j).
        c = np.roll(c, 1, axis=0) if offset == (-1, 1) else c
        close(c[inner], expected[offset][inner])


@pytest.mark.parametrize("n", [(0, 7, 5), (0, 4, 9), (3, 4, 5), (0, 0, 6), (0, 1, 1)])
@pytest.mark.parametrize("periodic", [False, True])
def test_numbering_is_a_permutation_with_its_band_width(n, periodic):
    wrap = [periodic and k > 0 for k in n]
    number, width = layout.numbering(n, wrap)
    own = np.sort(number[number >= 0])
    np.testing.assert_array_equal(own, np.arange(np.prod([max(k, 1) for k in n])))
    stored = number.reshape([layout.padded(k) if k else 1 for k in n])
    plain_numbers = np.where(stored < -1, -2 - stored, stored)
    widest = 0
    for where in np.argwhere(stored >= 0):
        for offset in product(*[(-1, 0, 1) if k else (0,) for k in n]):
            there = plain_numbers[tuple(where + offset)]
            assert (there == -1) <= (not periodic)
            if there >= 0:
                widest = max(widest, abs(int(there) - int(stored[tuple(where)])))
    assert widest == width


def test_a_visit_to_every_level():
    assert layout.schedule(1, "W").tolist() == [[layout.EXACT, 0]]
    for kind, solves in (("V", 1), ("W", 4), ("F", 3), ("full", 4)):
        steps = layout.schedule(4, kind).tolist()
        assert steps.count([layout.EXACT, 3]) == solves
        assert steps.count([layout.ASCEND, 0]) == 1
    with pytest.raises(ValueError, match="Unknown cycle 'X'"):
        layout.schedule(3, "X")


def test_an_odd_torus_too_large_for_a_factor_is_refused():
    with pytest.raises(ValueError, match="even"):
        layout.layout([0, 1001, 1001], [False, True, True], [0.0, 1.0, 1.0], False)


def test_the_twin_works_on_batches(generator):
    A = problem((20, 18), torch.float64, generator, ("neumann", "dirichlet"))
    levels = plain.build_levels(A.faces, None, A.periodic, [(True, True)] * 2, singular=False)
    steps = layout.schedule(3, "V").tolist()
    b = torch.randn(2, 3, *A.grid.shape, generator=generator, dtype=torch.float64)
    z = plain.apply_cycle(b, levels, steps)
    close(z[1, 2], plain.apply_cycle(b[1, 2], levels, steps))


def test_an_indefinite_level_is_noticed():
    fx, fy = (torch.ones(s, dtype=torch.float64).neg() for s in ((19, 18), (18, 19)))
    levels, size = plane_layout.layout(18, 18, 0, 100)
    assert not plane_setup.setup(fx.numpy(), fy.numpy(), np.zeros(size), levels, False)
    with pytest.raises(torch.linalg.LinAlgError):
        plain.build_levels((fx, fy), None, (False, False), [(True, True)], singular=False)


def test_the_twin_refuses_a_long_strip():
    faces = (torch.ones(5, 1998), torch.ones(4, 1999))
    with pytest.raises(ValueError, match="too many for a dense factor"):
        plain.build_levels(faces, None, (False, False), [], singular=False)


SOLVE = """
import torch
from pdeops.datasets import Darcy
from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid
problem = Darcy(num_modes=8)
grid = problem.grid((33, 17))
x = problem.sample_input(grid, 0, 0)
print(problem.solve(x, grid, 1e-8).x.numpy().tobytes().hex())
grid = Grid((12, 11, 10), boundary=("periodic", "neumann", "dirichlet"))
M = Multigrid(Diffusion(1 + grid.nodes()[0], grid))
print((M @ torch.ones(M.grid.shape, dtype=torch.float64)).numpy().tobytes().hex())
"""


@pytest.mark.slow
def test_bits_do_not_depend_on_the_compiler_cache(tmp_path):
    """Freshly compiled or read from the cache: the same numbers, so the same data files."""
    command = [sys.executable, "-c", SOLVE]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    fresh, cached = (
        subprocess.run(command, env=env, capture_output=True, check=True).stdout for _ in range(2)
    )
    assert fresh == cached
    assert len(fresh) > 1000


@pytest.mark.parametrize("shape", [(15, 18), (7, 8, 9)])
@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_interpolation_keeps_constants_between_closed_sides_and_walls(shape, boundary, generator):
    shape = tuple(n + n % 2 for n in shape) if boundary == "periodic" else shape
    fluid = torch.rand(shape, generator=generator) > 0.3
    A = Diffusion(1.0, Grid(shape, 1.0, boundary, "centers"), fluid=fluid)
    coarsened = [[True] * len(shape)]
    level = plain.build_levels(A.faces, None, A.periodic, coarsened, singular=True)[0]
    ones = pad(torch.ones(level.N, dtype=torch.float64), len(shape))
    u = prolong(sync(ones, level.N, level.wrap), level)[level.inside]
    at_fluid = u[A.diagonal() > 0]
    torch.testing.assert_close(at_fluid, torch.ones_like(at_fluid))
