"""From the spec of a data set to the estimator of its equation."""

import dataclasses
import math

import pytest
import torch

from pdeops.calculus.fourier import resample
from pdeops.datasets import (
    Burgers,
    Darcy,
    DatasetSpec,
    Field,
    NavierStokes,
    ShallowWater,
    estimator_of,
)
from pdeops.domain import Grid
from pdeops.estimators import (
    EvolutionResidual,
    ShallowWaterIndicator,
    SteadyResidual,
    equation_named,
)

MANY = {"t_end": 0.2, "num_frames": 20, "num_waves": 4}


def spec_of(problem, shape):
    return problem.spec(problem.grid(shape), 0, 1)


def trajectory(problem, spec):
    """The frames of sample 0, (1, t, c, *space)."""
    solved = problem.solved_sample(spec, 0).fields
    return torch.stack([solved[f.name] for f in spec.fields], 1)[None]


@pytest.mark.parametrize(
    ("problem", "shape"),
    [
        (NavierStokes("kolmogorov", **MANY), (32, 32)),
        (NavierStokes("fno_1e-3", **{**MANY, "t_end": 2.0}, scale=2.0), (32, 32)),
        (Burgers("gaussian", **{**MANY, "t_end": 0.05}, scale=2.0), (64,)),
    ],
    ids=lambda p: getattr(p, "name", ""),
)
def test_generated_trajectories_have_a_small_residual(problem, shape):
    spec = spec_of(problem, shape)
    u = trajectory(problem, spec)
    estimator = estimator_of(spec)
    assert isinstance(estimator, EvolutionResidual)
    assert estimator.times == spec.times
    floor = estimator(u).item()
    assert estimator(u.flip(1)).item() > 50 * floor
    wrong = dataclasses.replace(spec, parameters={**spec.parameters, "viscosity": 0.3})
    assert estimator_of(wrong)(u).item() > 10 * floor


def test_times_of_a_window_and_options():
    spec = spec_of(NavierStokes("mcwilliams", **MANY), (16, 16))
    estimator = estimator_of(spec, times=spec.times[3:9], order=-2.0, alpha=0.5)
    assert estimator.times == spec.times[3:9]
    assert (estimator.space.order, estimator.space.alpha) == (-2.0, 0.5)


def test_shallow_water_has_an_indicator_in_seconds():
    spec = spec_of(ShallowWater("random", degree=10, num_waves=4, num_frames=6), (16, 32))
    indicator = estimator_of(spec)
    assert isinstance(indicator, ShallowWaterIndicator)
    assert indicator.times[-1] == 48 * 3600.0
    assert indicator.grid == spec.domain


def test_darcy_needs_its_permeability():
    problem = Darcy("piecewise", num_modes=8)
    spec = spec_of(problem, (17, 17))
    solved = problem.solved_sample(spec, 0).fields
    k, p = (solved[f.name][None, None] for f in spec.fields)
    estimator = estimator_of(spec, inputs=k)
    assert isinstance(estimator, SteadyResidual)
    assert estimator(p).item() < 1e-8 * estimator(0 * p).item()
    with pytest.raises(ValueError, match="inputs=x"):
        estimator_of(spec)


def foreign(grid, parameters, times=(0.0, 0.1, 0.2, 0.3, 0.4)):
    return DatasetSpec(
        name="converted", kind="a -> b", equation="not stated", fields=(Field("w", "state", "w"),),
        domain=grid, parameters=parameters, seed=None, num_samples=1, tolerance=math.inf,
        times=times,
    )  # fmt: skip


PLANE = Grid((16, 16), 1.0, "periodic")


def test_a_file_from_elsewhere_needs_a_name_and_its_parameters():
    named = estimator_of(foreign(PLANE, {"viscosity": 1e-3}), equation="navier_stokes")
    given = estimator_of(
        foreign(PLANE, {}), equation="navier_stokes", parameters={"viscosity": 1e-3}
    )
    u = torch.randn(1, 5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert named(u).item() == given(u).item()
    with pytest.raises(ValueError, match="equation of this file is not known"):
        estimator_of(foreign(PLANE, {}))
    with pytest.raises(ValueError, match="needs the viscosity; the data state no parameter"):
        estimator_of(foreign(PLANE, {}), equation="navier_stokes")
    with pytest.raises(ValueError, match=r"Did you mean .navier_stokes"):
        estimator_of(foreign(PLANE, {}), equation="navier_stoke")
    with pytest.raises(ValueError, match="one number for all samples"):
        estimator_of(foreign(PLANE, {"viscosity": [1e-3, 1e-4]}), equation="navier_stokes")


def test_data_that_are_not_periodic():
    walls = Grid((17, 17))
    with pytest.raises(ValueError, match="periodic"):
        estimator_of(foreign(walls, {"viscosity": 1e-3}), equation="navier_stokes")
    with pytest.raises(ValueError, match="periodic"):
        estimator_of(foreign(Grid((17,)), {"viscosity": 1e-3}), equation="burgers")


def test_too_few_frames():
    with pytest.raises(ValueError, match="need 5 frames; got 3"):
        estimator_of(
            foreign(PLANE, {"viscosity": 1e-3}, times=(0.0, 0.1, 0.2)), equation="navier_stokes"
        )


def test_a_spec_without_its_viscosity():
    spec = spec_of(NavierStokes("mcwilliams", **MANY), (16, 16))
    parameters = {k: v for k, v in spec.parameters.items() if k != "viscosity"}
    with pytest.raises(ValueError, match="does not state viscosity"):
        estimator_of(dataclasses.replace(spec, parameters=parameters))


@pytest.mark.parametrize("name", ["heat", "allen_cahn"])
def test_equations_by_name(name):
    equation = equation_named(name, PLANE, {"diffusivity": 0.1, "unrelated": "text"})
    fine = equation.padded().grid
    u = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert resample(u, PLANE, fine.shape).shape == (1, 1, *fine.shape)
