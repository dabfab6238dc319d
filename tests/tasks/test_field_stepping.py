"""Runs of NeuralFieldStepper: a function of x and t, exact resume, epochs of the steps."""

import math

import pytest
import torch

from pdeops.models import NeuralFieldStepper
from pdeops.solvers import AdvectionDiffusion
from pdeops.solvers.evolution.initial import Sine
from pdeops.tasks import load_recipe, load_run, resume, train
from pdeops.tasks.collocation import CollocationPoints, CollocationTable
from pdeops.tasks.equation import DomainTable, EquationTask
from pdeops.tasks.field_stepping import fit_steps
from pdeops.training.trainer import Trainer

TAU = 2 * math.pi
SMALL = {"num_steps": 3, "hidden_channels": 5, "num_layers": 1, "frequency": 0.5}
RECIPE = {
    "task": "equation",
    "equation": {"name": "AdvectionDiffusion", "velocity": [1.0]},
    "domain": {"extent": [TAU], "t_end": 0.6},
    "initial": {"name": "Sine"},
    "model": {"name": "NeuralFieldStepper", **SMALL},
    "collocation": {"points": 16, "steps": 4},
    "optimizer": {"name": "GaussNewton", "least_damping": 1e-9},
    "schedule": {"name": "Constant"},
    "training": {"epochs": 8, "batch_size": 1, "eval_every": 100},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("stepper") / "whole"
    train(load_recipe(RECIPE), out=out)
    return out


def test_a_run_is_a_function_of_x_and_t(folder):
    """The wave of the midpoint rule, with the phase -2 atan(Δt/2) in each step."""
    run = load_run(folder)
    x = torch.linspace(0, TAU, 9, dtype=torch.float64)
    assert (run(x, 0.6) - torch.sin(x - 6 * math.atan(0.1))).abs().max() < 5e-3
    assert (run(x, 0.5) - torch.sin(x - 5 * math.atan(0.1))).abs().max() < 5e-3
    torch.testing.assert_close(run(x, 0.0), torch.sin(x))


def test_an_interrupted_run_resumes_exactly(folder, tmp_path, monkeypatch):
    """Within the second step: the weights of the first are not copied again."""
    original = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", lambda self: original(self, until=5))
    train(load_recipe(RECIPE), out=tmp_path / "parts")
    monkeypatch.setattr(Trainer, "fit", original)
    parts = load_run(tmp_path / "parts", weights="last")
    with pytest.raises(ValueError, match="2 of 3 steps are trained"):
        parts(torch.zeros(1), 0.5)
    resume(tmp_path / "parts")
    x = torch.linspace(0, TAU, 9)
    whole, parts = (load_run(f, weights="last") for f in (folder, tmp_path / "parts"))
    assert torch.equal(whole(x, 0.5), parts(x, 0.5))


def test_the_remaining_epochs_belong_to_the_first_step():
    grid = DomainTable().grid()
    field = NeuralFieldStepper(AdvectionDiffusion(grid, [1.0]), Sine(grid), 0.6, **SMALL)
    points = CollocationPoints(field, CollocationTable(points=4), 8, 0)
    steps = []
    for epoch in range(8):
        points.set_epoch(epoch)
        positions = points[0].positions
        assert positions.shape == (2, 4)  # one time
        steps.append(round(positions[1, 0].item() / 0.2))
    assert steps == [0, 0, 0, 0, 1, 1, 2, 2]
    points = CollocationPoints(field, CollocationTable(points=4, random=True), 8, 0)
    points.set_epoch(5)
    assert field.windows_of(points[0].positions[1]).tolist() == [1] * 4
    assert (points[0].positions[1] == field.ends[0]).all()  # float32 would round others up


def test_a_second_fit_continues():
    grid = DomainTable().grid()
    torch.manual_seed(0)
    fields = []
    for counts in ((2,), (1, 2)):
        torch.manual_seed(0)
        field = NeuralFieldStepper(AdvectionDiffusion(grid, [1.0]), Sine(grid), 0.6, **SMALL)
        for n in counts:
            fit_steps(field, points=16, first_iterations=30, atol=1e-4, num_steps=n)
        fields.append(field)
    x = torch.linspace(0, TAU, 9, dtype=torch.float64)[None]
    one, two = (field.outputs(x, 2).value for field in fields)
    for wrong in (0, 4):
        with pytest.raises(ValueError, match=f"num_steps must be from 1 to 3; got {wrong}"):
            fit_steps(field, num_steps=wrong)
    assert (one - two).abs().max() < 2e-3
    assert (two - torch.sin(x - 4 * math.atan(0.1))).abs().max() < 2e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"collocation": {"causality": 1.0}}, "Causal weights order the times"),
        ({"training": {"epochs": 2}}, "3 time windows are trained one after another"),
        (
            {
                "equation": {"name": "NavierStokes", "viscosity": 0.1},
                "domain": {"extent": [TAU, TAU]},
                "model": {"name": "PINN"},
            },
            "PINN solves equations derived from Transport; got NavierStokes",
        ),
    ],
)
def test_bad_recipes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        EquationTask().job(load_recipe({**RECIPE, **change}), torch.device("cpu"))
