"""Figures of networks that solve an equation: the lines of labels, and the files of a run."""

import math

import numpy as np
import pytest
import torch

from pdeops.compare import equation_plots
from pdeops.compare.equation_plots import _lines, draw, error_at_times
from pdeops.domain import Grid
from pdeops.models import LPINN
from pdeops.solvers import AdvectionDiffusion
from pdeops.tasks import load_recipe, load_run, train

TAU = 2 * math.pi
SPEED = 9.0  # a line crosses the box one and a half times


@pytest.fixture(scope="module")
def uniform():
    """An LPINN whose networks are zero: X = ξ + 9 t and w = sin ξ."""
    field = LPINN(
        AdvectionDiffusion(Grid((16,), TAU, "periodic"), [SPEED]), torch.sin, 1.0, hidden_channels=2
    ).double()
    for network in (field.D, field.W):
        for p in network.output.parameters():
            torch.nn.init.zeros_(p)
    return field


def test_lines_are_cut_at_the_ends_of_the_box(uniform):
    from matplotlib.figure import Figure

    labels = np.array([0.5, 4.0])
    times = np.linspace(0, 1, 41)
    X = labels[:, None] + SPEED * times
    lines = _lines(Figure().add_subplot(), X, times, np.sin(labels)[:, None] + 0 * X, TAU)
    segments = np.array(lines.get_segments())
    assert np.allclose(np.diff(segments[..., 0]), SPEED * np.diff(segments[..., 1]))
    colours = np.array(lines.get_array())
    for x, t, colour in (
        (0.5 + SPEED * 0.3, 0.3, np.sin(0.5)),
        (4 + SPEED * 0.9, 0.9, np.sin(4.0)),
    ):
        distance = abs(segments - (x % TAU, t)).max(-1).min(1)
        assert distance.min() < 1e-12
        assert np.allclose(colours[distance < 1e-12], colour)
    inside = (segments[..., 0] > -1e-12).any(1) & (segments[..., 0] < TAU + 1e-12).any(1)
    assert inside.all()


def test_an_exact_solution_has_a_linear_axis(tmp_path):
    u = torch.ones(3, 1, 8)
    assert error_at_times(tmp_path / "e.png", [0.0, 0.5, 1.0], u, u, name="exact").is_file()


@pytest.mark.parametrize(
    ("model", "extent", "expected"),
    [
        ("LPINN", [TAU], {"solution", "error", "loss", "characteristics"}),
        pytest.param("PINN", [TAU, TAU], {"solution", "error", "loss"}, marks=pytest.mark.slow),
    ],
)
def test_figures_of_a_run(tmp_path, monkeypatch, model, extent, expected):
    monkeypatch.setattr(equation_plots, "_TIMES", 3)
    layers = {"PINN": {"num_layers": 1}, "LPINN": {"position_layers": 1, "value_layers": 1}}
    tables = {
        "task": "equation",
        "equation": {"name": "AdvectionDiffusion", "velocity": [0.5] * len(extent)},
        "domain": {"extent": extent, "t_end": 0.5},
        "initial": {"name": "Sine"},
        "model": {"name": model, "hidden_channels": 3, **layers[model]},
        "collocation": {"points": 4, "times": 3, "steps": 1},
        "optimizer": {"name": "GaussNewton"},
        "schedule": {"name": "Constant"},
        "training": {"epochs": 1, "batch_size": 1},
    }
    train(load_recipe(tables), out=tmp_path / "run")
    drawn = draw(load_run(tmp_path / "run"), tmp_path / "plots")
    assert {file.stem for file in drawn} == expected
    assert {file.stem for file in (tmp_path / "plots").glob("*.png")} == expected
