"""The task `equation`: points, loss, a run as a function of x and t, errors, the command line."""

import json
import math
import shutil

import numpy as np
import pytest
import torch

from pdeops.batch import Batch
from pdeops.compare import compare_equation
from pdeops.compare.timing import Clock
from pdeops.datasets import open_dataset
from pdeops.domain import Grid
from pdeops.models import LPINN
from pdeops.solvers import Burgers
from pdeops.solvers.evolution.initial import Sine
from pdeops.tasks import evaluate, load_recipe, load_run, predict, resume, train
from pdeops.tasks.classical_solution import classical_solution
from pdeops.tasks.collocation import CollocationPoints, CollocationTable, ResidualLoss
from pdeops.tasks.random_features import fit_random_features

TAU = 2 * math.pi

# Convection-diffusion by random features: linear, so that one step solves it.
LINEAR = {
    "task": "equation",
    "equation": {"name": "AdvectionDiffusion", "velocity": [0.5], "diffusivity": 0.1},
    "domain": {"extent": [TAU], "t_end": 1.0},
    "initial": {"name": "Sine", "mean": 0.25},
    "model": {"name": "PINN", "hidden_channels": 120, "num_layers": 1},
    "features": {"random": True, "deviation": 0.5, "time_deviation": 1.0},
    "collocation": {"points": 20, "times": 20, "steps": 1},
    "optimizer": {"name": "GaussNewton", "damping": 0.0},
    "schedule": {"name": "Constant"},
    "training": {"epochs": 1, "batch_size": 1},
}


def exact(x, t):
    return 0.25 + math.exp(-0.1 * t) * torch.sin(x - 0.5 * t)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("equation") / "run"
    train(load_recipe(LINEAR), out=out)
    return out


def test_a_run_is_a_function_of_x_and_t(folder):
    run = load_run(folder)
    x = torch.linspace(0, TAU, 9, dtype=torch.float64)
    for t in (0.0, 0.4, 1.0):
        assert (run(x, t) - exact(x, t)).abs().max() < 1e-6
    mixed = torch.linspace(0, 1, 9, dtype=torch.float64)
    u = run(x.numpy(), mixed)
    assert u.shape == (9,)
    assert u[3].item() == pytest.approx(run(x[3:4], mixed[3].item()).item(), abs=1e-14)
    with pytest.raises(ValueError, match=r"x must be of shape \(n, 1\); got \(9, 2\)"):
        run(torch.zeros(9, 2), 0.0)
    with pytest.raises(ValueError, match="t must be a number or of shape"):
        run(x, x[:3])
    with pytest.raises(ValueError, match="known for 0 <= t <= 1"):
        run(x, 1.5)


def test_evaluate_gives_the_error_of_the_run(folder):
    run = load_run(folder)
    report = evaluate(run)
    grid = Grid((128,), TAU, "periodic")
    x = grid.axis(0)
    errors, sizes = [], []
    for t, at_time in zip(report["times"], report["error_at_times"], strict=True):
        errors.append((run(x, t) - exact(x, t)).norm().item())
        sizes.append(exact(x, t).norm().item())
        assert at_time == pytest.approx(errors[-1] / sizes[-1], rel=1e-2, abs=1e-12)
    total = math.hypot(*errors) / math.hypot(*sizes)
    assert report["relative_l2"] == pytest.approx(total, rel=1e-2)
    assert 0 < total < 1e-6
    assert "ETDRK4 with 256 nodes" in report["reference"]


def test_predict_samples_any_grid_and_times(folder, tmp_path):
    out = tmp_path / "u.h5"
    run = load_run(folder)
    summary = predict(run, None, out, grid=24, times=[0.0, 0.3])
    assert summary["grid"] == [24]
    dataset = open_dataset(out)
    assert dataset.domain.shape == (24,)
    assert tuple(dataset.times) == (0.0, 0.3)
    with pytest.raises(ValueError, match="needs no data"):
        predict(run, out, tmp_path / "v.h5")
    with pytest.raises(ValueError, match="known for 0 <= t <= 1"):
        predict(run, None, tmp_path / "v.h5", times=[2.0])
    assert not (tmp_path / "v.h5").exists()


def test_compare_finds_the_cheapest_classical_run(folder, tmp_path):
    """The equation is linear: ETDRK4 is exact on any grid that holds the wave."""
    run = load_run(folder)
    report = compare_equation(run, folder=tmp_path, clock=Clock(rest=0.0))
    assert report.error == pytest.approx(evaluate(run)["error_at_times"][-1], rel=1e-6)
    assert report.training > 0
    assert report.classical.error < 1e-12
    assert report.classical.num_steps < 10
    assert "ETDRK4 on" in report.to_markdown()
    assert (tmp_path / "equation_compare.csv").read_text().count("\n") == 3
    assert json.dumps(report.to_dict())


def test_an_interrupted_run_resumes_exactly(tmp_path):
    """Two windows, staged optimiser, random points: two epochs and then two are four."""
    tables = {
        **LINEAR,
        "model": {"name": "PINN", "hidden_channels": 6, "num_layers": 1, "windows": 2},
        "features": {},
        "collocation": {"points": 6, "times": 6, "steps": 3, "random": True, "causality": 1.0},
        "optimizer": {"name": "AdamThenLBFGS", "adam_steps": 4, "max_iter": 2},
        "training": {"epochs": 4, "batch_size": 1},
    }
    train(load_recipe(tables), out=tmp_path / "whole")
    from pdeops.training.trainer import Trainer

    original = Trainer.fit
    try:
        Trainer.fit = lambda self: original(self, until=3)
        train(load_recipe(tables), out=tmp_path / "parts")
    finally:
        Trainer.fit = original
    resume(tmp_path / "parts")
    x = torch.linspace(0, TAU, 7)
    whole, parts = (load_run(tmp_path / name, weights="last") for name in ("whole", "parts"))
    assert torch.equal(whole(x, 0.8), parts(x, 0.8))
    assert (whole(x, 0.8) - whole(x, 0.0)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("diffusivity = 0.1", "diffusivity = 0.2", r"trained with the equation .*0\.1.*now .*0\.2"),
        ("mean = 0.25", "mean = 0.5", r"trained with the initial .*0\.25.*now .*0\.5"),
        ("t_end = 1.0", "t_end = 2.0", r'domain was .*"t_end": 1\.0.* now is .*"t_end": 2\.0'),
        ("points = 20", "points = 21", r'collocation was .*"points": 20.* now is .*21'),
        ("time_deviation = 1.0", "time_deviation = 2.0", r"features was"),
        ("values = []", "values = [0.1]\ncoefficient = 'diffusivity'", r"curriculum was"),
    ],
)
def test_a_run_whose_recipe_was_edited_is_not_resumed(folder, tmp_path, before, after, message):
    edited = shutil.copytree(folder, tmp_path / "run")
    recipe = edited / "recipe.toml"
    text = recipe.read_text()
    assert text.count(f"\n{before}\n") == 1
    recipe.write_text(text.replace(f"\n{before}\n", f"\n{after}\n"))
    with pytest.raises(ValueError, match=message):
        resume(edited)
    recipe.write_text(text)
    assert resume(edited)["reason"] == "finished"


def points_of(table, epochs=4, **options):
    field = load_recipe({**LINEAR, "features": {}, **options})
    from pdeops.tasks.equation import EquationTask

    job = EquationTask().job(field, torch.device("cpu"))
    return job.model, CollocationPoints(job.model, table, epochs, 0)


def test_collocation_points_cover_each_window_in_turn():
    model = {"name": "PINN", "hidden_channels": 4, "num_layers": 1, "windows": [0.25, 1.0]}
    for random in (False, True):
        table = CollocationTable(points=4, times=5, random=random, steps=2)
        _, points = points_of(table, model=model, training={"epochs": 4})
        for epoch, (low, high) in enumerate([(0, 0.25), (0, 0.25), (0.25, 1.0), (0.25, 1.0)]):
            points.set_epoch(epoch)
            x, t = points[0].positions
            assert len(t) == 20
            assert low <= t.min() < low + (high - low) / 2 < t.max() <= high
            assert 0 <= x.min() < x.max() < TAU
            assert torch.equal(points[0].positions, points[0].positions)
            assert torch.equal(points[0].positions, points[1].positions) != random
    with pytest.raises(ValueError, match=r"2 time windows.*got 1 epochs"):
        points_of(table, epochs=1, model=model, training={"epochs": 4})


class Linear(torch.nn.Module):
    """A field whose residual is the time."""

    equation = None

    def begin(self, t):
        pass

    def collocate(self, x, t):
        return t

    def residual(self, t):
        return t[None]


def test_causal_weights():
    """L_i of equal slices of r = t, weighted by exp(-ε Σ of the earlier ones)."""
    loss, slices = ResidualLoss(0.5), ResidualLoss.num_slices
    t = (torch.arange(10 * slices, dtype=torch.float64) + 0.5) / (10 * slices)
    batch = Batch(positions=torch.stack([t, t])[None])
    L = t.square().view(slices, 10).mean(1)
    w = torch.exp(-0.5 * torch.tensor([sum(L[:i]) for i in range(slices)], dtype=torch.float64))
    assert loss(Linear(), batch).item() == pytest.approx((w * L).mean().item(), rel=1e-12)
    plain = ResidualLoss()(Linear(), batch).item()
    assert plain == pytest.approx(t.square().mean().item(), rel=1e-12)


def test_causal_weights_are_kept_in_a_step_of_gauss_newton():
    """A residual θ that grows from 0.1 to 1 turns later slices off, but not within the step."""
    field = Scaled()
    loss, t = ResidualLoss(1.0), torch.linspace(0, 1, 320, dtype=torch.float64)
    batch = Batch(positions=torch.stack([t, t])[None])
    start = loss(field, batch).item()
    r, J, at_present = loss.linearise(field, batch)
    assert r.square().sum().item() == pytest.approx(start, rel=1e-12)
    assert at_present() == pytest.approx(start, rel=1e-12)
    field.theta.data.mul_(10.0)
    assert at_present() == pytest.approx(100 * start, rel=1e-12)
    assert (r + 0.9 * J[:, 0]).square().sum().item() == pytest.approx(100 * start, rel=1e-12)
    assert loss(field, batch).item() < 100 * start / 10


class Scaled(Linear):
    """A field whose residual is a parameter, at every point."""

    def __init__(self):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.full((1,), 0.1, dtype=torch.float64))

    def residual(self, t):
        return self.theta * torch.ones_like(t)[None]

    def linearise(self, t):
        return self.residual(t).detach(), torch.ones_like(t)[None, :, None]


def test_nan_in_a_term_is_named_while_training(tmp_path):
    """A source that is NaN from t = 3/2 on."""
    file = tmp_path / "own.py"
    file.write_text(
        "from pdeops.solvers import Transport\n\n\n"
        "class Fragile(Transport):\n"
        "    def source(self, u, x, t):\n"
        "        return (1.5 - t).log() + 1\n"
    )
    tables = {
        **LINEAR,
        "equation": {"name": f"{file}:Fragile"},
        "domain": {"extent": [TAU], "t_end": 2.0},
    }
    with pytest.raises(ValueError, match=r"source of Fragile.*got nan at x = .*t = \[1.5"):
        train(load_recipe(tables), out=tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_equation_and_initial_field_of_one_file(tmp_path):
    """The run keeps a copy of the file: u_t = -u from 2 cos x."""
    file = tmp_path / "own.py"
    file.write_text(
        "from pdeops.solvers import Transport\n\n\n"
        "class Decay(Transport):\n"
        "    def __init__(self, grid):\n"
        "        super().__init__(grid, growth=-1.0)\n\n\n"
        "class Start:\n"
        "    def __init__(self, grid, amplitude: float):\n"
        "        self.amplitude = amplitude\n\n"
        "    def __call__(self, x):\n"
        "        return self.amplitude * x.cos()\n"
    )
    tables = {
        **LINEAR,
        "equation": {"name": f"{file}:Decay"},
        "initial": {"name": f"{file}:Start", "amplitude": 2.0},
    }
    train(load_recipe(tables), out=tmp_path / "run")
    other = tmp_path / "other" / "own.py"
    other.parent.mkdir()
    other.write_text(file.read_text() + "\n")
    second = {**tables["initial"], "name": f"{other}:Start"}
    with pytest.raises(ValueError, match=r"own\.py and .*other.own\.py need different names"):
        train(load_recipe({**tables, "initial": second}), out=tmp_path / "two")
    assert not (tmp_path / "two").exists()
    file.unlink()
    x = torch.linspace(0, TAU, 9, dtype=torch.float64)
    u = load_run(tmp_path / "run")(x, 1.0)
    assert (u - 2 * math.exp(-1.0) * x.cos()).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"equation": {"name": "Burgers", "viscosity": -0.1}}, "viscosity >= 0; got -0.1"),
        ({"equation": {"name": "Burger", "viscosity": 0.1}}, "Did you mean 'Burgers'"),
        ({"initial": {"name": "Gaussian", "width": 0.0}}, "positive finite width"),
        ({"model": {"name": "PINN", "windows": [0.5]}}, "windows must cover"),
        ({"model": {"name": "PINN"}}, "Random features are those of one hidden layer"),
        ({"collocation": {"dtype": "half"}}, "'float32' or 'float64'"),
        ({"domain": {"extent": [TAU], "t_end": 0.0}}, "t_end must be positive"),
        ({"features": {"random": True, "deviation": -1.0}}, "deviation .* positive .* got -1"),
        ({"features": {"random": True, "time_deviation": 0.0}}, "time_deviation .* got 0"),
    ],
)
def test_bad_recipes_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(load_recipe({**LINEAR, **change}), out=tmp_path / "run")


def test_errors_relative_to_zero_are_not_reported(tmp_path):
    start = {"name": "Sine", "amplitude": 0.0}
    grid = Grid((64,), TAU, "periodic")
    with pytest.raises(ValueError, match=r"is 0 at all times.*Choose an initial field"):
        classical_solution(Burgers(grid, 0.1), torch.zeros_like, grid, [0.0, 0.1])
    file = tmp_path / "own.py"
    file.write_text(
        "from pdeops.solvers import Transport\n\n\n"
        "class Grows(Transport):\n"
        "    def source(self, u, x, t):\n"
        "        return x.cos()\n"
    )
    tables = {**LINEAR, "equation": {"name": f"{file}:Grows"}, "initial": start}
    train(load_recipe(tables), out=tmp_path / "grows")
    report = evaluate(load_run(tmp_path / "grows"))
    assert report["error_at_times"][0] is None
    assert max(report["error_at_times"][1:]) < 1e-4


@pytest.mark.slow
def test_classical_solution_of_burgers_is_the_published_one(shared_data):
    """deepxde's Burgers.npz, ν = 0.01/π, on [-1, 1]: the box is shifted by one."""
    data = np.load(shared_data / "reference" / "Burgers.npz")
    equation = Burgers(Grid((255,), 2.0, "periodic"), 0.01 / math.pi)
    u0 = Sine(equation.grid)
    times = [data["t"][j, 0].item() for j in (0, 20, 40)]
    ours = classical_solution(equation, u0, equation.grid, times, tolerance=1e-6)
    truth = torch.from_numpy(data["usol"][:-1, (0, 20, 40)]).T
    assert (ours.u[:, 0] - truth).abs().max() < 1e-5


@pytest.mark.slow
def test_lpinn_solves_burgers_as_published(shared_data):
    """The same file up to t = 0.3, shortly before the front forms, by random features."""
    data = np.load(shared_data / "reference" / "Burgers.npz")
    equation = Burgers(Grid((64,), 2.0, "periodic"), 0.01 / math.pi)
    one = {"hidden_channels": 250, "position_layers": 1, "value_layers": 1}
    field = LPINN(equation, Sine(equation.grid), 0.3, **one)
    fit_random_features(field, deviation=0.7, time_deviation=0.7)
    x = torch.from_numpy(data["x"][:, 0] + 1)
    frames = (5, 10, 20, 30)
    u = torch.stack([field.at(x[None], data["t"][j, 0].item()).u[0] for j in frames])
    truth = torch.from_numpy(data["usol"][:, frames]).T
    assert (u - truth).norm() < 3e-4 * truth.norm()
