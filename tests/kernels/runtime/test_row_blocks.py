"""Row blocks and the seams between them: every row passes every stage once, in a valid order."""

import threading

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.blackbox import Cycle
from pdeops.kernels.blackbox.box_hierarchy import BoxHierarchy
from pdeops.kernels.blackbox.plane_hierarchy import PlaneHierarchy
from pdeops.kernels.blackbox.sparsify import equal_shares
from pdeops.kernels.constant import problem as constant_problem
from pdeops.kernels.constant.cpu import ConstantHierarchy
from pdeops.kernels.runtime import row_blocks
from pdeops.solvers import Diffusion
from pdeops.solvers.multigrid import hierarchy
from pdeops.solvers.multigrid.cycle import CycleSpec


@pytest.mark.parametrize(("rows", "parts"), [(16, 2), (33, 2), (100, 3), (161, 7), (20, 1)])
def test_ranges_make_up_the_whole(rows, parts):
    lock, met = threading.Lock(), []

    def do(start, end):
        with lock:
            met.extend(range(start, end))

    row_blocks.split(do, rows, parts)
    assert sorted(met) == list(range(rows))


@pytest.mark.parametrize("stages", [1, 3, 5])
@pytest.mark.parametrize(("rows", "parts"), [(33, 2), (100, 3), (161, 7), (20, 4)])
def test_a_row_waits_for_its_neighbours_and_they_for_it(rows, parts, stages, monkeypatch):
    """A row enters a stage when its neighbours have left the one before, and not the next one.

    Blocks in any order, one at a time: what may run in parallel may.
    """
    for turn in (1, -1):
        monkeypatch.setattr(
            row_blocks, "side_by_side", lambda tasks, t=turn: [f() for f in tasks[::t]]
        )
        done = [stages] + [0] * rows + [stages]  # stages that a row has behind it

        def do(ranges, done=done):
            for stage, (first, last) in enumerate(ranges.tolist()):
                for row in range(first, last + 1):
                    assert done[row] == stage
                    for other in (row - 1, row + 1):
                        if 1 <= other <= rows:
                            assert stage <= done[other] <= stage + 1
                    done[row] += 1

        row_blocks.chain(do, rows, stages, parts)
        assert set(done) == {stages}


def test_small_fields_and_single_threads_are_not_divided():
    torch.set_num_threads(3)
    assert [row_blocks.count(size, 100) for size in (99, 100)] == [1, 3]
    torch.set_num_threads(1)
    assert row_blocks.count(100, 100) == 1


CASES = {
    "constant plane": ((201, 77), 1.0, ConstantHierarchy, None),
    "constant box": ((101, 41, 31), 1.0, ConstantHierarchy, None),
    "plane": ((202, 203), None, PlaneHierarchy, None),
    "plane, odd": ((203, 75), None, PlaneHierarchy, None),
    "plane, sparsified": ((203, 202), None, PlaneHierarchy, equal_shares),
    "any plane": ((203, 202), None, BoxHierarchy, None),
    "box": ((66, 41, 67), None, BoxHierarchy, None),
    "box, sparsified": ((66, 41, 67), None, BoxHierarchy, equal_shares),
}


def set_up(kind, A, shares):
    if kind is ConstantHierarchy:
        problem = hierarchy.constant_problem(A, CycleSpec())
        return kind(problem, torch.empty(0, dtype=A.dtype))
    return kind(hierarchy.system_of(A), shares=shares)


@pytest.mark.parametrize("case", CASES)
def test_threads_do_not_change_a_bit_of_a_cycle(case, generator, monkeypatch):
    """Two calls, because the second finds what the first left behind."""
    monkeypatch.setattr(row_blocks, "WIDE", 500)
    monkeypatch.setattr(row_blocks, "VAST", 500)
    monkeypatch.setattr(constant_problem, "SMALLEST", 15)
    shape, a, kind, shares = CASES[case]
    if a is None:
        a = torch.exp(torch.randn(shape, generator=generator, dtype=torch.float64))
    grid = Grid(shape, tuple((n + 1) / 100 for n in shape), placement="interior")
    A = Diffusion(a, grid)
    b = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        cycle = set_up(kind, A, shares)
        assert (len(row_blocks.counts(cycle.shapes, 500)) >= 3) == (threads > 1)
        out = torch.full_like(b, torch.nan)
        for _ in range(2):
            cycle.run(b, out, Cycle())
        results.append(out)
        cycle.bind(b[0], single := torch.full_like(b[0], torch.nan), Cycle())()
        assert torch.equal(single, out[0])
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("shape", [(202, 75), (66, 41, 43)])
def test_threads_do_not_change_a_bit_of_lines(shape, generator, monkeypatch):
    monkeypatch.setattr(row_blocks, "WIDE", 500)
    A = Diffusion(torch.rand(shape, generator=generator).double() + 1, Grid(shape))
    b = torch.randn(1, *A.grid.shape, generator=generator, dtype=torch.float64)
    cycle = BoxHierarchy(hierarchy.system_of(A), tuple(range(len(shape))))
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        out = torch.full_like(b, torch.nan)
        cycle.run(b, out, Cycle("V", 2, 1))
        results.append(out)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_threads_do_not_change_a_bit_of_a_product(generator, monkeypatch):
    monkeypatch.setattr(row_blocks, "VAST", 1)
    for shape in ((90, 31), (40, 12, 9)):
        for a in (1.0, torch.rand(shape, generator=generator, dtype=torch.float64) + 1):
            A = Diffusion(a, Grid(shape, placement="interior"), reaction=2.0)
            u = torch.randn(shape, generator=generator, dtype=torch.float64)
            out = torch.full_like(u, torch.nan)
            torch.set_num_threads(3)
            divided = A @ u
            A.bind(u, out)()
            torch.set_num_threads(1)
            assert torch.equal(divided, A @ u)
            assert torch.equal(out, divided)
