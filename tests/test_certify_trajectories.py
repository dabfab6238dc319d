"""Predicted trajectories with the norm of their residual: its floor, effectivity and file."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from pdeops import certify
from pdeops.certify.trajectories import ParabolicNorm
from pdeops.datasets import convert, generate, open_dataset, problem_named
from pdeops.domain import Grid
from pdeops.estimators import EvolutionDefect
from pdeops.estimators.time_derivative import trapezoidal_weights
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer
from pdeops.solvers import evolve
from pdeops.tasks import load_recipe
from pdeops.tasks.rollout import RolloutRun

PROBLEM = problem_named(
    "burgers", "thin", viscosity=0.1, num_waves=4, t_end=0.12, num_frames=3, dt=0.02
)
GRID = PROBLEM.grid((32,))


class Step(nn.Module):
    """One frame by the solver, times a factor."""

    def __init__(self, factor, step):
        super().__init__()
        self.factor, self.step = factor, step
        self.parameter = nn.Parameter(torch.zeros(1))

    def forward(self, u):
        if not u.isfinite().all():
            return u
        later = evolve(PROBLEM.equation_on(GRID), u[:, 0].double(), [self.step], dt=0.02)
        return self.factor * later.u.to(u)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "thin.h5"
    generate(PROBLEM, GRID, num_samples=1, seed=3, out=out)
    return out


class Persistence(nn.Module):
    """One frame is the next."""

    def __init__(self):
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(1))

    def forward(self, u):
        return u


def run_of(factor=1.0, model=None, problem=PROBLEM):
    """A finished run that is wrong by a factor in each step, or of another model."""
    one = Normalizer.identity(1)
    recipe = load_recipe({
        "task": "rollout",
        "name": "stand_in",
        "data": {"train": "none.h5", "test": "none.h5"},
        "model": {"name": "FNO", "n_modes": [4]},
    })  # fmt: skip
    spec = problem.spec(GRID, 0, 1)
    step = spec.times[1] - spec.times[0]
    operator = Operator(Step(factor, step) if model is None else model, one, one)
    return RolloutRun(Path("runs/stand_in"), recipe, operator, GRID, spec, 1, 1, 1)


def test_norm_of_a_wave():
    """u = (1 + t) sin 3x on (0, 2π): sup ‖u‖² = 4π and ‖∇u‖² = 9π(1 + t)²."""
    grid, times = Grid((16,), 2 * math.pi, "periodic"), [0.01 * i for i in range(101)]
    t = torch.tensor(times, dtype=torch.float64)
    u = (1 + t)[None, :, None, None] * torch.sin(3 * grid.nodes()[0])
    norm = ParabolicNorm(grid, 0.5, trapezoidal_weights(times))
    exact = 4 * math.pi + 0.5 * 9 * math.pi * 7 / 3
    assert norm(u).item() ** 2 == pytest.approx(exact, rel=1e-4)


def test_effectivity_of_a_known_error(file, tmp_path):
    """It is that of the residual to first order: the same for errors of 1 % and 0.1 %."""
    found = {}
    for factor in (1.0, 0.999, 0.99):
        out = tmp_path / f"{factor}.h5"
        found[factor] = certify.predict_trajectories(run_of(factor), file, out)
        with h5py.File(out) as stored:
            assert stored["relative_residual"][()].tolist() == found[factor].residuals
        assert open_dataset(out)[0].target.shape[-1] == 32
    exact, small, large = found.values()
    assert max(exact.errors) < 1e-2 * min(large.errors)
    assert max(exact.residuals) < 1e-3 * min(large.residuals)
    for one, ten in zip(small.effectivities, large.effectivities, strict=True):
        assert 0.1 < ten < 10
        assert one == pytest.approx(ten, rel=0.03)
    assert max(large.floors) < 1e-3 * min(large.residuals)
    figures, text = large.to_dict(), large.to_markdown()
    assert f"effectivity {figures['effectivity']:.3g} in the median" in text
    assert "no bound" in text


def test_residual_and_error_of_a_wave_that_does_not_decay(tmp_path):
    """v = a sin kx for u = exp(-νk²t) v, a so small that the equation is linear, in a file that
    states no equation: R = (exp(-νk²Δt) - 1)/Δt v in each of the three intervals."""
    nu, k, dt, a = 0.1, 4 * math.pi, 0.04, 1e-3
    x, t = GRID.nodes()[0].numpy(), dt * np.arange(4)
    u = a * np.exp(-nu * k**2 * t)[None, :, None] * np.sin(k * x)
    data = tmp_path / "wave.h5"
    convert(
        {"u": u}, data, states=["u"], axes="sample,time,x", times=t.tolist(),
        grid={"boundary": "periodic", "placement": "left"},
    )  # fmt: skip
    run = run_of(model=Persistence())
    with pytest.raises(ValueError, match="--problem"):
        certify.predict_trajectories(run, data, tmp_path / "none.h5")
    equation = {"problem": "burgers", "kind": "thin", "parameters": {"viscosity": nu}}
    found = certify.predict_trajectories(run, data, tmp_path / "out.h5", **equation)

    # Relative to ‖v‖; the norm of H⁻¹ is ‖R‖ (α + k²)^(-1/2) with α = (2π)².
    alpha, R = (2 * math.pi) ** 2, (1 - math.exp(-nu * k**2 * dt)) / dt
    norm = math.sqrt(1 + nu * k**2 * 3 * dt)
    eta = R * math.sqrt(3 * dt / (alpha + k**2))
    assert found.residuals == pytest.approx([eta / math.sqrt(nu) / norm], rel=1e-3)
    e = 1 - np.exp(-nu * k**2 * t)
    integral = dt * (e[1] ** 2 + e[2] ** 2 + e[3] ** 2 / 2)
    error = math.sqrt(e[3] ** 2 + nu * k**2 * integral)
    assert found.errors == pytest.approx([error / norm], rel=1e-3)
    assert found.floors[0] < 1e-3 * found.residuals[0]


def test_bad_input(file, tmp_path):
    out = tmp_path / "out.h5"
    with pytest.raises(ValueError, match="NaN or infinity from frame 1"):
        certify.predict_trajectories(run_of(math.nan), file, out)
    assert not out.exists()
    run = run_of(0.9)
    out.write_bytes(b"")
    with pytest.raises(ValueError, match="exists already"):
        certify.predict_trajectories(run, file, out)
    other = {"problem": "burgers", "kind": "thin", "parameters": {"viscosity": 0.2}}
    with pytest.raises(ValueError, match=r"states viscosity = 0\.1; got --set viscosity=0\.2"):
        certify.predict_trajectories(run, file, tmp_path / "other.h5", **other)
    darcy = tmp_path / "darcy.h5"
    steady = problem_named("darcy", num_modes=4)
    generate(steady, steady.grid((9, 9)), num_samples=1, seed=0, out=darcy)
    with pytest.raises(ValueError, match="needs trajectories"):
        certify.predict_trajectories(run, darcy, tmp_path / "other.h5")


DENSE = problem_named(
    "burgers", "thin", viscosity=0.1, num_waves=4, t_end=0.08, num_frames=8, dt=0.01
)


@pytest.mark.parametrize("tol", [1e-2, pytest.param(1e-3, marks=pytest.mark.slow)])
def test_a_prediction_is_refined_to_the_tolerance(tmp_path, tol):
    """The stored fields have a residual below it, by a new evaluation, and a small error."""
    data, out = tmp_path / "dense.h5", tmp_path / "out.h5"
    generate(DENSE, GRID, num_samples=1, seed=3, out=data)
    found = certify.predict_trajectories(run_of(0.98, problem=DENSE), data, out, tol=tol)
    assert found.refinements[0][0].residuals[0] > 0.1 > tol >= found.residuals[0]
    assert found.errors[0] < 2 * tol
    stored = open_dataset(out, dtype=torch.float64)
    trajectory = torch.cat([stored[0].input, stored[0].target])[None]
    times = stored.spec.times
    eta = EvolutionDefect(DENSE.equation_on(GRID), times, steps=1)
    norm = ParabolicNorm(GRID, 0.1, trapezoidal_weights(times))
    again = eta(trajectory) / math.sqrt(0.1) / norm(trajectory)
    assert again.tolist() == pytest.approx(found.residuals, rel=1e-6)
    assert f"sweeps of gauss-newton to a relative residual of {tol:g}" in stored.spec.source
    figures = found.to_dict()["evaluations"][-1]
    assert figures["tolerance"] == tol
    assert 0 < figures["from_prediction"] <= figures["from_last_frame"]
    assert f"refined to at most {tol:g}" in found.to_markdown()


@pytest.mark.slow
def test_a_tolerance_that_is_met_or_out_of_reach(tmp_path):
    """An exact prediction needs no evaluation; persistence saves none against itself; differences
    of the frames, and then the stored digits, are limits that the error names."""
    data = tmp_path / "dense.h5"
    generate(DENSE, GRID, num_samples=1, seed=3, out=data)
    exact = certify.predict_trajectories(run_of(problem=DENSE), data, tmp_path / "a.h5", tol=1e-3)
    assert exact.evaluations()[-1][1] == 0
    assert "The prediction saved" in exact.to_markdown()
    run = run_of(model=Persistence(), problem=DENSE)
    same = certify.predict_trajectories(run, data, tmp_path / "b.h5", tol=1e-2)
    assert "At 0.1, 0.01 the last given frame, repeated, was as good" in same.to_markdown()
    with pytest.raises(ValueError, match=r"order 6 over frames 0\.01 apart.* frames 0\.00"):
        certify.predict_trajectories(run, data, tmp_path / "c.h5", tol=3e-5)
    with pytest.raises(ValueError, match="stored digits"):
        certify.predict_trajectories(run, data, tmp_path / "c.h5", tol=1e-12)
    with pytest.raises(ValueError, match="NaN or infinity"):
        certify.predict_trajectories(
            run_of(math.nan, problem=DENSE), data, tmp_path / "c.h5", tol=1e-2
        )
    with pytest.raises(ValueError, match="positive and below 1"):
        certify.predict_trajectories(run, data, tmp_path / "c.h5", tol=0.0)
    generate(PROBLEM, GRID, num_samples=1, seed=3, out=tmp_path / "few.h5")
    with pytest.raises(ValueError, match="5 frames or more; the trajectories have 4"):
        certify.predict_trajectories(run_of(), tmp_path / "few.h5", tmp_path / "c.h5", tol=0.1)
    assert not (tmp_path / "c.h5").exists()
