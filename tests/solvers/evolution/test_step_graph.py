"""Steps on accelerators: recorded as graphs, and free of numbers that the host reads. A stand-in
records a step as the call itself; tensors without values (device "meta") show a read or a copy."""

import gc
import logging
import math
import re
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pdeops import solvers
from pdeops.domain import Grid
from pdeops.solvers import ETDRK4, RK4CN, Burgers, Evolution, NavierStokes, Transport, evolve
from pdeops.solvers.evolution import evolve as evolution_loop
from pdeops.solvers.evolution import step_graph
from pdeops.solvers.evolution.step_graph import StepGraphs, launched

from .test_bad_input_in_time import CIRCLE, EQUATIONS, initial

TORUS = Grid((8, 8), boundary="periodic")
FLOW = NavierStokes(TORUS, 1e-2)


class Records:
    """Takes the place of `Recorder`: a replay makes the call again."""

    def __init__(self, device=None):
        self.made, self.replays = 0, 0

    def __call__(self, call):
        self.made += 1

        def replay():
            self.replays += 1
            call()

        return replay


@pytest.fixture
def records(monkeypatch):
    """A CPU with graphs; the records of the last run."""
    made = []
    monkeypatch.setattr(step_graph, "has_graphs", lambda u: True)
    monkeypatch.setattr(step_graph, "Recorder", lambda device: made.append(Records()) or made[-1])
    return made


def vorticity(generator, samples=2):
    w = torch.randn(samples, 1, 8, 8, generator=generator, dtype=torch.float64)
    return w - w.mean((-2, -1), keepdim=True)


@pytest.mark.parametrize("method", [ETDRK4, RK4CN])
def test_recorded_steps_give_the_same_trajectory(method, generator, records, monkeypatch):
    """The length 0.05 is computed once and replayed six times, also in the second interval, which
    differs from the first by round-off; that of 0.04 is computed once."""
    w, times = vorticity(generator), [0.2, 0.3, 0.1 + 0.3, 0.44]
    found = evolve(FLOW, w, times, dt=0.05, stepper=method)
    monkeypatch.setattr(step_graph, "has_graphs", lambda u: False)
    assert torch.equal(found.u, evolve(FLOW, w, times, dt=0.05, stepper=method).u)
    (record,) = records
    assert found.num_steps == 4 + 2 + 2 + 1
    assert (record.made, record.replays) == (1, 7)


def test_a_record_keeps_its_coefficients(generator):
    u_hat = FLOW.encode(vorticity(generator))
    method = ETDRK4(FLOW, u_hat)
    graphs = StepGraphs(method, u_hat, Records())
    for _ in range(2):
        graphs.step(u_hat, 0.0, 0.1)
    coefficients = weakref.ref(method.coefficients(0.1, u_hat)[0])
    method._coefficients.clear()
    assert coefficients() is not None
    del graphs
    gc.collect()
    assert coefficients() is None


def test_few_lengths_are_recorded(generator):
    u_hat, records = FLOW.encode(vorticity(generator)), Records()
    graphs = StepGraphs(ETDRK4(FLOW, u_hat), u_hat, records)
    for i in range(3 * 2 * step_graph.MOST):
        graphs.step(u_hat, 0.0, 1e-3 * (1 + i % (2 * step_graph.MOST)))
    assert records.made == step_graph.MOST
    assert records.replays == 2 * step_graph.MOST


def test_a_step_that_cannot_be_recorded_is_launched_as_usual(
    generator, monkeypatch, caplog, fresh_messages
):
    tried = []

    def refuse(call):
        tried.append(call)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(step_graph, "has_graphs", lambda u: True)
    monkeypatch.setattr(step_graph, "Recorder", lambda device: refuse)
    w = vorticity(generator)
    with caplog.at_level(logging.WARNING, "pdeops"):
        for _ in range(2):
            found = evolve(FLOW, w, [0.5], dt=0.1).u
    assert len(tried) == 2  # once in each run
    (message,) = (r.message for r in caplog.records)
    assert message.startswith(
        "steps of NavierStokes: a step cannot be recorded as a CUDA graph (op"
    )
    monkeypatch.undo()
    assert torch.equal(found, evolve(FLOW, w, [0.5], dt=0.1).u)


def test_an_equation_that_depends_on_time_is_not_recorded(generator, records):
    def swirl(nodes, t):
        return (2 * math.pi * nodes[0]).sin() * math.cos(t)

    w = vorticity(generator)
    field = torch.stack([swirl(TORUS.nodes(), t) for t in (0.0, 1.0)])
    for forcing, count in ((swirl, 0), (field, 1), (None, 1)):
        equation = NavierStokes(TORUS, 1e-2, forcing=forcing)
        method = ETDRK4(equation, equation.encode(w))
        steps = launched(method, equation.encode(w))
        assert isinstance(steps, StepGraphs) == bool(count)
        assert (steps is method) == (not count)


def test_a_wrong_declaration_is_an_error(generator, records):
    class Forced(Burgers):
        def nonlinear(self, u_hat, t):
            return super().nonlinear(u_hat, t) + math.cos(t)

    u = torch.randn(1, 1, 8, generator=generator, dtype=torch.float64)
    equation = Forced(Grid((8,), boundary="periodic"), 0.1)
    with pytest.raises(ValueError, match=r"N of Forced depends on t.*autonomous = False"):
        evolve(equation, u, [0.1], dt=0.01)
    equation.autonomous = False
    assert evolve(equation, u, [0.1], dt=0.01).completed


# ---------------------------------------------------------- numbers that the host reads


class NoCopies(TorchDispatchMode):
    """Raises at an operation that copies between devices or whose result's shape depends on
    values."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        devices = {v.device.type for v in (*args, out) if isinstance(v, torch.Tensor) and v.ndim}
        assert len(devices) < 2, f"{func} copies between devices"
        return out


def test_every_equation_is_listed():
    kinds = {getattr(solvers, name) for name in solvers.__all__}
    kinds = {k for k in kinds if isinstance(k, type) and issubclass(k, Evolution)}
    general = {"Evolution", "PseudoSpectral", "Linear", "Transport"}
    assert {k.__name__ for k in kinds} - general == {type(e).__name__ for e in EQUATIONS.values()}


@pytest.mark.parametrize(
    ("name", "method"),
    [(n, m) for n, e in EQUATIONS.items() for m in (ETDRK4, RK4CN) if m is ETDRK4 or not e.coupled],
)
def test_a_step_reads_no_number(name, method):
    """The first step fills the caches, the second one may not copy anything."""
    equation = EQUATIONS[name]
    assert not equation.depends_on_time
    u_hat = equation.encode(initial(name).to("meta"))
    stepper = method(equation, u_hat)
    for _ in range(2):
        stepper.step(u_hat, 0.0, 0.1)
        equation.rate(u_hat), equation.positive(u_hat), equation.decode(u_hat)
    with NoCopies():
        stepper.step(u_hat, 0.0, 0.1)
        equation.rate(u_hat), equation.positive(u_hat), equation.decode(u_hat)


def test_a_read_and_a_copy_are_seen():
    """Negative control."""
    field = torch.ones(3, device="meta")
    with NoCopies():
        for wrong in (lambda: field + torch.ones(3).to("meta"), lambda: field.sum().item()):
            with pytest.raises((AssertionError, RuntimeError), match=r"copies|meta tensors"):
                wrong()


FASTER = Transport(CIRCLE, velocity=lambda u, x, t: u, growth=40.0)
LARGER = Transport(CIRCLE, growth=100.0)
STOPS = {
    "NavierStokes": (EQUATIONS["NavierStokes"], 1.0, 2e-2, "reached in 45 steps"),
    "Burgers": (FASTER, 1.0, 2e-3, r"Courant number 1.* > 1\.35 at t = 0\.0"),
    "Heat": (LARGER, 1.0, 1e-2, r"blow-up at t = 0\.1., step 1.:"),
    "ShallowWater": (EQUATIONS["ShallowWater"], 30.0, 1e-3, "the layer is dry somewhere, with a d"),
}


@pytest.mark.parametrize("name", STOPS)
def test_numbers_read_together_lead_to_the_same_stop(name, monkeypatch):
    equation, scale, dt, reason = STOPS[name]
    u = initial(name, scale)
    runs = []
    for asynchronous in (False, True):
        monkeypatch.setattr(evolution_loop, "is_asynchronous", lambda u, a=asynchronous: a)
        runs.append(evolve(equation, u, [10 * dt, 45 * dt], dt=dt))
    at_once, together = runs
    assert together.reason == at_once.reason
    assert re.search(reason, at_once.reason), at_once.reason
    assert (together.num_steps, together.courant) == (at_once.num_steps, at_once.courant)
    assert torch.equal(together.u, at_once.u)
