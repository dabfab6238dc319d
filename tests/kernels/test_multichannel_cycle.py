"""The two passes of the cycle by steps: gradients, tables of small levels, the choice of a form.

The forward pass and the adjoints are written by hand, in plain torch here; autograd of the twin
gives what they have to be. `interpreted_cycle.py` compares the Triton kernels with them.
"""

import pytest
import torch

from pdeops.kernels import forms
from pdeops.kernels.forms import Forms
from pdeops.kernels.multichannel_cycle import (
    FORMS,
    Geometry,
    Plan,
    cycle,
    functions,
    gpu,
    passes,
    recording,
    reference,
)
from pdeops.kernels.multichannel_cycle.geometry import joined

from .learned_cycles import (
    BACKSLASH,
    DIRICHLET,
    INTERIOR,
    LINE,
    LONG,
    MIXED,
    NEUMANN,
    PERIODIC,
    SPACE,
    V,
    drawn,
    error,
    gradients,
    plain,
    shapes,
)

CASES = [
    (DIRICHLET, (9, 12)),
    (INTERIOR, (9, 12)),
    (PERIODIC, (8, 12)),
    (PERIODIC, (9, 7)),  # odd: adjoint transfers with a ghost node between the ends
    (NEUMANN, (9, 8)),
    (MIXED, (12, 9)),
    (LINE, (11,)),
    (SPACE, (6, 5, 7)),
    (DIRICHLET, (1, 1)),
]


def by_steps(plan, geometry):
    return lambda f, *weights: functions.by_steps(f, weights, plan, geometry)


@pytest.mark.parametrize("plan", [V, BACKSLASH, LONG], ids=["V", "backslash", "long"])
@pytest.mark.parametrize(("geometry", "shape"), CASES)
def test_gradients_by_steps_are_those_of_the_twin(geometry, shape, plan):
    fields = drawn([(2, 2, *shape), *shapes(plan, (2, 3), len(shape))])
    found, expected = (gradients(f(plan, geometry), fields) for f in (by_steps, plain))
    assert error(found, expected) < 1e-12


def test_second_derivatives():
    fields = [u.requires_grad_() for u in drawn([(1, 1, 3, 4), *shapes(V, (1, 2), 2)])]
    assert torch.autograd.gradcheck(by_steps(V, MIXED), fields, fast_mode=True)
    assert torch.autograd.gradgradcheck(by_steps(V, MIXED), fields, fast_mode=True)


def test_arguments_without_gradient_have_none():
    f, *weights = drawn([(1, 2, 5, 4), *shapes(V, (2, 3), 2)])
    weights[1].requires_grad_()
    u = functions.by_steps(f, weights, V, DIRICHLET)
    (found,) = torch.autograd.grad(u.square().sum(), weights[1], create_graph=True)
    (expected,) = torch.autograd.grad(plain(V, DIRICHLET)(f, *weights).square().sum(), weights[1])
    torch.testing.assert_close(found, expected)


def test_gradients_have_the_precision_of_the_forward_pass():
    """Autocast around the backward pass alone changes nothing."""
    fields = drawn([(1, 2, 5, 4), *shapes(V, (2, 3), 2)], torch.float32)
    u = by_steps(V, NEUMANN)(*(t.requires_grad_() for t in fields))
    (g,) = drawn([u.shape], torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(u, fields, g)
    expected = gradients(plain(V, NEUMANN), [t.detach().double() for t in fields])
    assert error([u, *found], expected) < 1e-5


@pytest.mark.parametrize("plan", [V, BACKSLASH, LONG], ids=["V", "backslash", "long"])
@pytest.mark.parametrize(
    ("geometry", "shape"), [(DIRICHLET, (9, 12)), (INTERIOR, (9, 12)), (PERIODIC, (8, 12))]
)
def test_tables_of_small_levels(geometry, shape, plan):
    f, *weights = fields = drawn([(2, 2, *shape), *shapes(plan, (2, 3), 2)])
    levels, steps = plan.split(weights), recording.TableSteps(geometry)
    assert recording.is_small(f, levels, geometry)
    u, kept = passes.forward(steps, f, levels)
    df, dW = passes.backward(steps, drawn([u.shape])[0], f, kept, levels)
    assert error([u, df, *joined(dW)], gradients(plain(plan, geometry), fields)) < 1e-12
    assert not kept


def test_tables_serve_where_adjoints_are_convolutions():
    def small(geometry, shape, plan=V):
        f, *weights = drawn([(1, 2, *shape), *shapes(plan, (2, 3), len(shape))])
        return recording.is_small(f, plan.split(weights), geometry)

    assert small(DIRICHLET, (16, 16))
    assert not small(DIRICHLET, (17, 16))
    assert small(PERIODIC, (8, 8))
    assert not small(PERIODIC, (8, 7))
    assert small(PERIODIC, (6, 8))
    assert not small(PERIODIC, (6, 8), BACKSLASH)  # 6, 3
    assert not small(NEUMANN, (8, 8))
    assert not small(LINE, (9,))


def test_weights_are_counted():
    weights = drawn(shapes(V, (1, 2), 2))
    assert joined(V.split(weights)) == weights
    with pytest.raises(ValueError, match=f"has {len(weights)} weights; got {len(weights) + 1}"):
        V.split([*weights, weights[0]])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ((torch.float64, 2, 24), "float64"),
        ((torch.float32, 3, 24), "3 axes"),
        ((torch.bfloat16, 2, 65), "65 channels"),
        ((torch.bfloat16, 2, 64), None),
    ],
)
def test_fields_without_a_kernel_take_the_twin(fields, reason, monkeypatch, caplog, fresh_messages):
    monkeypatch.setattr(forms, "_has_triton", lambda: True)
    table = Forms("pdeops.kernels.multichannel_cycle", cuda="gpu")
    for _ in range(2):
        choice = table.choice("cuda", gpu.unfit(*fields))
    assert choice.form == ("gpu" if reason is None else "reference")
    assert [reason in r.message for r in caplog.records] == [True] * (reason is not None)


def test_the_twin_serves_a_cpu(monkeypatch):
    called, twin = [], reference.cycle
    monkeypatch.setattr(reference, "cycle", lambda *f: called.append(f) or twin(*f))
    f, *weights = drawn([(1, 2, 5, 4), *shapes(V, (2, 3), 2)])
    cycle(f, weights, V, Geometry(("constant",) * 2, (1, 1)))
    assert len(called) > 1  # once for each level
    assert FORMS.choice("cpu").form == "reference"
    assert Plan(*V) == V
