"""Tests of tiled multigrid in Triton's interpreter, on the CPU.

`test_triton.py` runs them in a process with TRITON_INTERPRET=1.
"""

from dataclasses import replace

import pytest
import torch
from torch._dynamo.backends.debugging import eager

from pdeops.kernels import tiled_multigrid
from pdeops.kernels.blackbox import Cycle, System, layout
from pdeops.kernels.blackbox.reference import ReferenceHierarchy
from pdeops.kernels.tiled_multigrid import gpu, reference, triton_launch
from pdeops.kernels.tiled_multigrid.hierarchy import TiledHierarchy
from pdeops.kernels.tiled_multigrid.triton_launch import Tile


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def system(*n):
    faces = [draw(*(k + (a == b) for b, k in enumerate(n))).exp() for a in range(len(n))]
    return System(faces, draw(*n).exp(), (False,) * len(n), (1.0,) * len(n))


def level_of(*n):
    given = system(*n)
    level = tiled_multigrid.from_faces(given.faces, given.excess, (True,) * len(n))
    return replace(level, w=reference.weights(level))


def inside(level, like):
    u = torch.zeros_like(like)
    u[level.inside] = draw(*u.shape)[level.inside]
    return u


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_several_steps_per_load_equal_plain_steps_on_tiles_with_halo(steps, monkeypatch):
    """Tiles of 16 x 16 nodes, of which a halo of 3 leaves 10 x 10; 0 is all steps at once."""
    monkeypatch.setitem(triton_launch.TILES, 2, (Tile(1, 16, 16, steps=steps),))
    level = level_of(22, 13)
    u, b = (inside(level, level.c.new_zeros(2, *level.c.shape[1:])) for _ in range(2))
    U = reference.restrict(level, None, b)
    for before, correction in ((None, None), (u, None), (u, U)):
        found = gpu.smooth(level, before, b, (0.6, 0.9, 0.7), correction)
        expected = reference.smooth(level, before, b, (0.6, 0.9, 0.7), correction)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_more_steps_than_a_halo_has_room_for():
    """Tiles of 8 x 8 x 32 nodes, of which a halo of 5 would leave none."""
    level = level_of(3, 2, 3)
    u, b = (inside(level, level.c.new_zeros(1, *level.c.shape[1:])) for _ in range(2))
    lengths = (0.6, 0.9, 0.7, 0.8, 0.5)
    found, expected = (form.smooth(level, u, b, lengths, None) for form in (gpu, reference))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_residual_and_restriction_on_several_tiles(monkeypatch):
    for table in (triton_launch.FLAT, triton_launch.CELLS):
        monkeypatch.setitem(table, 2, (Tile(1, 4, 8),))
    level = level_of(22, 13)
    u, b = (inside(level, level.c.new_zeros(2, *level.c.shape[1:])) for _ in range(2))
    for part in ("residual", "restrict"):
        found, expected = (getattr(form, part)(level, u, b) for form in (gpu, reference))
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_whole_cycles_equal_those_of_the_twin(monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 20)
    given, b = system(9, 10), draw(1, 9, 10)
    for lines, cycle in (((), Cycle("W", 1, 1, lengths=(0.6, 0.9))), ((1,), Cycle())):
        found, expected = torch.empty_like(b), torch.empty_like(b)
        hierarchy = TiledHierarchy(given, lines)
        hierarchy.run(b, found, cycle)
        ReferenceHierarchy(given, lines).run(b, expected, cycle)
        assert len(hierarchy.levels) > 2
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_torch_compile_keeps_the_parts_of_a_cycle_whole(monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 20)
    hierarchy, b = TiledHierarchy(system(9, 8)), draw(1, 9, 8)
    cycle = Cycle(lengths=(0.6, 0.9))
    names = []

    def backend(module, inputs):
        names.extend(str(node.target) for node in module.graph.nodes)
        return eager(module, inputs)

    compiled = torch.compile(hierarchy.cycle, fullgraph=True, backend=backend)
    stored = hierarchy.stored(b)
    torch.testing.assert_close(compiled(stored, cycle), hierarchy.cycle(stored, cycle))
    assert sum("tiled_smooth" in name for name in names) == 2 * (len(hierarchy.levels) - 1)


def test_solid_nodes_keep_their_value():
    given = system(7, 6)
    given.faces[0][2:4, 3] = given.faces[1][2, 3:5] = given.excess[2, 3] = 0
    level = tiled_multigrid.from_faces(given.faces, given.excess, (True, True))
    level = replace(level, w=reference.weights(level))
    torch.testing.assert_close(gpu.weights(level, ()), level.w)
    u, b = (inside(level, level.c.new_zeros(1, *level.c.shape[1:])) for _ in range(2))
    found, expected = (f.smooth(level, u, b, (0.6, 0.9), None) for f in (gpu, reference))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    assert found[0, 3, 4] == u[0, 3, 4]


def test_constant_couplings_with_strides_of_zero():
    """They also couple boundary nodes to each other, which must not count."""
    faces = [torch.tensor(2.0).double().expand(8, 6), torch.tensor(3.0).double().expand(7, 7)]
    level = tiled_multigrid.from_faces(faces, None, (True, True))
    assert not any(level.c.stride()[1:])
    level = replace(level, w=reference.weights(level))
    torch.testing.assert_close(gpu.weights(level, ()), level.w)
    found, expected = (form.coarse_couplings(level) for form in (gpu, reference))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    u, b = (inside(level, torch.zeros(1, 9, 9).double()) for _ in range(2))
    found, expected = (form.restrict(level, u, b) for form in (gpu, reference))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_float64_and_float32_have_kernels_and_others_the_twin():
    level = level_of(5)
    assert tiled_multigrid._form(level) is gpu
    halved = replace(level, c=level.c.to(torch.bfloat16))
    assert tiled_multigrid._form(halved) is reference
