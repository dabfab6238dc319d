"""Curriculum of the task `equation`: the equation of each stage, interruption, bad input."""

import math

import pytest
import torch

from pdeops.tasks import load_recipe, load_run, resume, train
from pdeops.tasks.equation import EquationTask
from pdeops.training.trainer import Trainer

TAU = 2 * math.pi
SPEEDS = [[0.1], [0.3], [0.5]]

# Random features: one step solves the equation of a stage.
LINEAR = {
    "task": "equation",
    "equation": {"name": "AdvectionDiffusion", "velocity": [0.5], "diffusivity": 0.1},
    "domain": {"extent": [TAU], "t_end": 1.0},
    "model": {"name": "PINN", "hidden_channels": 60, "num_layers": 1},
    "features": {"random": True, "deviation": 0.5, "time_deviation": 1.0},
    "collocation": {"points": 14, "times": 14, "steps": 1},
    "curriculum": {"coefficient": "velocity", "values": SPEEDS},
    "optimizer": {"name": "GaussNewton", "damping": 0.0},
    "schedule": {"name": "Constant"},
    "training": {"epochs": 3, "batch_size": 1},
}
# Hidden layers in training.
SMALL = {
    **LINEAR,
    "model": {"name": "PINN", "hidden_channels": 6, "num_layers": 1, "windows": 2},
    "features": {},
    "collocation": {"points": 5, "times": 5, "steps": 2, "random": True},
    "optimizer": {"name": "GaussNewton", "damping": 1.0},
    "training": {"epochs": 9, "batch_size": 1},
}


def job_of(tables):
    return EquationTask().job(load_recipe(tables), torch.device("cpu"))


def trained(tables, out, monkeypatch=None, until=None):
    """A run, stopped after some epochs."""
    if until is None:
        train(load_recipe(tables), out=out)
        return
    whole = Trainer.fit
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", lambda self: whole(self, until=until))
        train(load_recipe(tables), out=out)


def test_the_epochs_of_each_window_go_through_the_stages():
    """Nine epochs: four of the first window, five of the second; the last stage has the rest."""
    points = job_of(SMALL).dataset
    found = []
    for epoch in range(9):
        points.set_epoch(epoch)
        batch = points[0]
        found.append((batch.positions[1].mean().item() > 0.5, batch.parameters.item()))
    speeds = [0.1, 0.3, 0.5, 0.5]
    assert found == [*((False, c) for c in speeds), *((True, c) for c in (*speeds, 0.5))]
    plain = job_of({**SMALL, "curriculum": {}}).dataset
    assert "parameters" not in plain[0]
    with pytest.raises(ValueError, match=r"3 stages.*2 time windows; got 5 epochs"):
        job_of({**SMALL, "training": {"epochs": 5}})


def test_a_stage_has_the_residual_of_its_equation():
    """The loss is that of a network built for this speed; validation is that of the last speed."""
    job = job_of(SMALL)
    held_out = job.validate(job.model)["residual"]
    for epoch, speed in enumerate((0.1, 0.3, 0.5)):
        job.dataset.set_epoch(epoch)
        batch = job.dataset[0]
        stacked = type(batch).collate([batch])
        at = {**SMALL["equation"], "velocity": [speed]}
        plain = job_of({**SMALL, "equation": at, "curriculum": {}})
        expected = plain.objective(plain.model, stacked).item()
        assert job.objective(job.model, stacked).item() == pytest.approx(expected, rel=1e-12)
        r, _, _ = job.objective.linearise(job.model, stacked)
        assert r.square().sum().item() == pytest.approx(expected, rel=1e-12)
        assert job.validate(job.model)["residual"] == held_out
    assert plain.validate(plain.model)["residual"] == held_out


def test_the_training_ends_at_the_equation_itself(tmp_path, monkeypatch):
    """u = e^(-t/10) sin(x - ct) after the first and the last stage, with the c of the stage."""
    x = torch.linspace(0, TAU, 9, dtype=torch.float64)
    for until, c in ((1, 0.1), (3, 0.5)):
        folder = tmp_path / str(until)
        trained(LINEAR, folder, monkeypatch, until)
        u = load_run(folder)(x, 1.0)
        exact = math.exp(-0.1) * torch.sin(x - c)
        assert (u - exact).abs().max() < 1e-4
    assert load_run(tmp_path / "3").field.equation.drift == (0.5,)


def test_an_interrupted_curriculum_resumes_exactly(tmp_path, monkeypatch):
    """Interrupted in the first of two epochs of a stage; a network without curriculum differs."""
    tables = {**SMALL, "model": {**SMALL["model"], "windows": 1}, "training": {"epochs": 6}}
    x = torch.linspace(0, TAU, 7)

    def result(name):
        return load_run(tmp_path / name, weights="last")(x, 0.8)

    trained(tables, tmp_path / "whole")
    trained(tables, tmp_path / "parts", monkeypatch, 3)
    resume(tmp_path / "parts")
    assert torch.equal(result("parts"), result("whole"))
    trained({**tables, "curriculum": {}}, tmp_path / "plain")
    assert not torch.equal(result("plain"), result("whole"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curriculum": {"coefficient": "speed", "values": [1.0]}}, "argument of AdvectionDiff"),
        ({"curriculum": {"coefficient": "velocit", "values": [1.0]}}, "Did you mean 'velocity'"),
        ({"curriculum": {"coefficient": "velocity"}}, "curriculum.values is empty"),
        ({"curriculum": {"values": SPEEDS}}, "needs curriculum.coefficient"),
        ({"curriculum": {"coefficient": "velocity", "values": SPEEDS[:2]}}, r"\[0.5\]; got \[0.3"),
        ({"curriculum": {"coefficient": "velocity", "values": ["a", [0.5]]}}, "must be numbers"),
        ({"curriculum": {"coefficient": "velocity", "values": [[1, 2], [0.5]]}}, "equally many"),
        ({"curriculum": {"coefficient": "diffusivity", "values": [-1.0, 0.1]}}, "got -1.0"),
        ({"curriculum": {"coefficients": "velocity"}}, "Unknown key 'coefficients'"),
        ({"optimizer": {"name": "AdamThenLBFGS"}}, "AdamThenLBFGS keeps the curvature"),
        ({"optimizer": {"name": "LBFGS"}}, "LBFGS keeps the curvature"),
        ({"training": {"epochs": 9, "patience": 2}}, "patience = 2 may end the training"),
        ({"model": {"name": "NeuralFieldStepper"}}, "NeuralFieldStepper steps in time"),
    ],
)
def test_bad_curricula_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        job_of({**SMALL, **change})
