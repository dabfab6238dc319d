"""Tests of the Triton kernels of `multichannel_cycle` in Triton's interpreter (`interpreted.py`).

Steps are compared with their plain forms in float64. The interpreter takes milliseconds for each
node of a stencil, so the fast tests have one program or two, and the slow ones all geometries.
"""

import pytest
import torch

from pdeops.kernels.multichannel_cycle import cycle, recording, triton_launch
from pdeops.kernels.multichannel_cycle.steps import Steps
from pdeops.kernels.multichannel_cycle.triton_launch import Tile, TritonSteps

from .learned_cycles import (
    BACKSLASH,
    DIRICHLET,
    HALF_INTERIOR,
    INTERIOR,
    LONG,
    MIXED,
    NEUMANN,
    PERIODIC,
    V,
    drawn,
    error,
    gradients,
    plain,
    shapes,
)

FUSED = ("smooth", "restrict", "correct", "stencil_adjoint", "smooth_adjoint", "restrict_adjoint")
FUSED += ("stencil_weight",)
# bfloat16: two numbers rounded one after the other, which the interpreter truncates.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 2**-7}


def arguments(step, geometry, shape, dtype, batch):
    """Of a step, with 2 channels of f and 3 of u."""
    f, u = (batch, 2, *shape), (batch, 3, *shape)
    coarse_f, coarse_u = ((batch, c, *geometry.coarse(shape)) for c in (2, 3))
    A, S, R, P = ((o, i, 3, 3) for o, i in ((2, 3), (3, 2), (2, 2), (3, 3)))
    sizes = {
        "smooth": (u, f, A, S),
        "restrict": (u, f, A, R),
        "correct": (u, coarse_u, P),
        "stencil_adjoint": (f, A, u, u, u),
        "smooth_adjoint": (u, A, S),
        "restrict_adjoint": (coarse_f, u, A, R),
        "stencil_weight": (u, f, A),
        "stencil": (u, A),
    }[step]
    return drawn(sizes, dtype)


def compare(step, geometry, shape, dtype=torch.float32, batch=1):
    """The Triton form of a step and its twin; fields have channels last, as in the cycle."""
    tensors = arguments(step, geometry, shape, dtype, batch)
    fields = [u.contiguous(memory_format=torch.channels_last) for u in tensors]
    if step == "stencil_adjoint":
        fields[2:] = [fields[2:]]  # the terms
    wide = [[t.double() for t in u] if isinstance(u, list) else u.double() for u in fields]
    found = getattr(TritonSteps(geometry, keep=True), step)(*fields)
    expected = getattr(Steps(geometry), step)(*wide)
    if not isinstance(found, tuple):
        found, expected = (found,), (expected,)
    assert [u.dtype for u in found] == [dtype] * len(expected)
    assert error(found, expected) < TOLERANCE[dtype]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(triton_launch, "TILES", (Tile(4, 8),))
    monkeypatch.setattr(triton_launch, "ROWS", (Tile(1, 64),))
    monkeypatch.setattr(triton_launch, "TABLE", (Tile(1, 16),))


@pytest.mark.parametrize("step", FUSED)
def test_steps(step):
    """Two tiles along the first axis, whose last one is not full; coarse nodes 1, 3."""
    compare(step, MIXED if step in ("smooth", "correct") else INTERIOR, (4, 5))


def test_table_of_small_levels():
    """One line of each kind on a buffer of random numbers; the slow tests have whole cycles."""
    f, *weights = drawn([(2, 2, 3, 4), *shapes(LONG, (2, 3), 2)], torch.float32)
    levels = LONG.split(weights)
    rec = recording.recording_of(f, levels, HALF_INTERIOR)
    kinds = {(n.kind, n.reversed, len(n.terms)): n for n in (*rec.forward, *rec.backward)}
    del kinds[recording.STENCIL, False, 0]
    assert len(kinds) == 8
    (buffer,) = drawn([(len(f) * rec.size_backward,)], torch.float32)
    expected = buffer.double()
    wide = LONG.split([W.double() for W in weights])
    recording.TableSteps(HALF_INTERIOR).run(tuple(kinds.values()), rec, expected, len(f), wide)
    TritonSteps(HALF_INTERIOR, keep=True).run(tuple(kinds.values()), rec, buffer, len(f), levels)
    assert error([buffer], [expected]) < 1e-6


def test_the_plain_form_is_a_candidate_and_the_first_one(monkeypatch):
    """Where nothing can be timed, the first candidate serves."""
    monkeypatch.setattr(triton_launch, "is_interpreted", lambda: False)
    monkeypatch.setattr(TritonSteps, "_two", lambda *_, **__: "a kernel")
    offered = []

    def best(key, candidates, *_, **__):
        offered.append(candidates)
        return candidates[chosen]

    monkeypatch.setattr(triton_launch.tuning, "best", best)
    fields = arguments("smooth", DIRICHLET, (5, 4), torch.float32, 1)
    chosen = 0
    found = TritonSteps(DIRICHLET, keep=True).smooth(*fields)
    assert error(found, Steps(DIRICHLET).smooth(*(u.double() for u in fields))) < 1e-6
    chosen = 1
    assert TritonSteps(DIRICHLET, keep=True).smooth(*fields) == "a kernel"
    assert offered[0][0] == triton_launch.PLAIN
    assert offered[0][1:] == (Tile(4, 8, precision="tf32"),)  # torch's default for convolutions


def test_plain_forms_have_the_layout_of_the_kernels(monkeypatch):
    """Torch gives channels first where a field has one channel."""
    monkeypatch.setattr(triton_launch, "is_interpreted", lambda: False)
    u, W, g, P = drawn([(1, 1, 5, 4), (3, 1, 3, 3), (1, 1, 5, 4), (3, 1, 3, 3)], torch.float32)
    for steps, last in ((Steps(DIRICHLET), False), (TritonSteps(DIRICHLET, keep=True), True)):
        for v in (steps.stencil(u, W), steps.correct_adjoint(g, P)):
            assert v.is_contiguous(memory_format=torch.channels_last) == last


def test_no_samples_give_no_result():
    f, *weights = drawn([(0, 2, 5, 3), *shapes(V, (2, 3), 2)], torch.float32)
    u, df, *dW = gradients(lambda f, *W: cycle(f, W, V, DIRICHLET), [f, *weights])
    assert u.shape == (0, 3, 5, 3)
    assert df.shape == f.shape
    assert all(torch.equal(g, torch.zeros_like(W)) for g, W in zip(dW, weights, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("geometry", "shape"),
    [
        (DIRICHLET, (9, 5)),
        (PERIODIC, (6, 8)),
        (PERIODIC, (5, 4)),
        (NEUMANN, (5, 7)),
        (DIRICHLET, (1, 1)),
    ],
)
@pytest.mark.parametrize("step", ["stencil", *FUSED])
def test_steps_of_all_geometries(step, geometry, shape, dtype, monkeypatch):
    monkeypatch.setattr(triton_launch, "TILES", (Tile(8, 8),))
    compare(step, geometry, shape, dtype, batch=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("geometry", "plan"), [(DIRICHLET, BACKSLASH), (PERIODIC, V), (NEUMANN, V)]
)
def test_cycles_with_small_and_large_levels(geometry, plan, monkeypatch):
    """The table serves from the second level on."""
    monkeypatch.setattr(triton_launch, "TILES", (Tile(8, 8),))
    monkeypatch.setattr("pdeops.kernels.multichannel_cycle.recording.SMALL", 12)
    fields = drawn([(1, 2, 6, 4), *shapes(plan, (2, 3), 2)], torch.float32)
    found = gradients(lambda f, *W: cycle(f, W, plan, geometry), fields)
    expected = gradients(plain(plan, geometry), [u.double() for u in fields])
    assert error(found, expected) < 1e-6


@pytest.mark.slow
def test_autocast_takes_its_dtype():
    f, *weights = drawn([(1, 2, 3, 4), *shapes(V, (2, 3), 2)], torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradients(lambda f, *W: cycle(f, W, V, DIRICHLET), [f, *weights])
    expected = gradients(plain(V, DIRICHLET), [u.double() for u in (f, *weights)])
    assert [u.dtype for u in found] == [torch.bfloat16, *[torch.float32] * (1 + len(weights))]
    assert error(found, expected) < 2**-5  # six roundings of fields, one after the other
