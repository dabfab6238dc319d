"""Shallow water on the sphere: initial fields, and files with latitudes and longitudes."""

import math

import h5py
import pytest
import torch

from pdeops.calculus.harmonic_fit import HarmonicFit
from pdeops.calculus.norms import Lp
from pdeops.calculus.spherical import SphericalTransform
from pdeops.datasets import ShallowWater, generate, inspect, open_dataset
from pdeops.datasets.problems.shallow_water import gauss_grid
from pdeops.domain import Grid, Sphere
from pdeops.solvers import evolve
from pdeops.solvers.evolution.equations.shallow_water import EARTH_RADIUS
from pdeops.solvers.evolution.equations.shallow_water import ShallowWater as Equation

SMALL = {"t_end": 2.0, "num_frames": 2, "dt": 900.0, "degree": 12, "viscosity": 1e17}
RANDOM = SMALL | {"num_waves": 5}


def test_winds_have_the_speed_and_waves_the_height_that_were_asked_for():
    calm, waves = (ShallowWater("random", **RANDOM, waves=w) for w in (0.0, 25.0))
    grid = gauss_grid(12)
    a, b = (p.sample_input(grid, 0, 3) for p in (calm, waves))
    T = SphericalTransform(grid)
    wind = T.wind(T.forward(a[1:]))
    w = grid.quadrature() / grid.volume
    assert (w * wind.square()).sum().sqrt().item() == pytest.approx(20, rel=1e-12)
    assert (w * (b - a)[0].square()).sum().sqrt().item() == pytest.approx(25, rel=1e-12)
    assert (w * a[0]).sum().item() == pytest.approx(10000, rel=1e-12)
    assert torch.equal(a[1:], b[1:])
    assert a[2].abs().max() == 0


def test_the_depth_is_in_balance_but_for_the_waves():
    """At t = 0 the divergence does not change; with waves of 25 m it does."""
    grid = gauss_grid(12)
    equation = Equation(grid, 10000.0, degree=12)
    rates = []
    for waves in (0.0, 25.0):
        u = ShallowWater("random", **RANDOM, waves=waves).sample_input(grid, 0, 0)
        state = equation.encode(u[None])
        linear = (equation.symbol.to(state) * state[:, None]).sum(2)
        rates.append((equation.nonlinear(state, 0.0) + linear)[:, 2].abs().max().item())
    assert rates[0] < 1e-10 * rates[1]


def test_degrees_have_their_variance():
    """Of ψ, κ⁻¹ (1 + (κ/peak)⁴)⁻¹ for each wave: ratios of mean squares."""
    problem = ShallowWater("random", **RANDOM, peak=3.0, waves=0.0)
    grid = gauss_grid(12)
    T = SphericalTransform(grid)
    zeta = torch.stack([problem.sample_input(grid, 1, i)[1] for i in range(200)])
    psi = T.inverse_laplacian * T.forward(zeta)
    power = psi.abs().square().mean(0)

    def expected(l):
        kappa = math.sqrt(l * (l + 1))
        return 1 / (kappa * (1 + (kappa / 3) ** 4))

    for l, m in ((2, 0), (2, 2), (4, 1), (5, 5)):
        ratio = (power[l, m] / power[1:4, :3].tril(1).sum()).item()
        whole = sum(expected(k) for k in (1, 2, 3) for j in range(3) if j <= k)
        assert ratio == pytest.approx(expected(l) / whole, rel=0.35)
    assert power[6:].max() < 1e-20 * power.max()


def test_bumps_are_where_the_jet_is():
    problem = ShallowWater("galewsky", **SMALL, num_bumps=1)
    grid = Sphere((65, 128), radius=EARTH_RADIUS)
    jet = ShallowWater("galewsky", **SMALL, num_bumps=0).sample_input(grid, 0, 0)
    places = set()
    for index in range(5):
        bump = (problem.sample_input(grid, 0, index) - jet)[0].abs()
        i, j = divmod(int(bump.argmax()), 128)
        assert 25 < 90 - 180 * i / 64 < 65
        places.add(j)
    assert len(places) > 3


def test_the_solution_is_stored_at_its_hours_whatever_the_stored_grid():
    problem = ShallowWater("random", **RANDOM)
    grid = problem.grid((17, 32))
    y, coarse = (
        torch.stack(list(problem.solved_sample(problem.spec(g, 0, 1), 0).fields.values()))
        for g in (grid, problem.grid((9, 8)))
    )
    torch.testing.assert_close(coarse, y[..., ::2, ::4], rtol=1e-10, atol=1e-14)
    solver = gauss_grid(12)
    u0 = problem.sample_input(solver, 0, 0)
    equation = Equation(solver, 10000.0, viscosity=1e17, degree=12)
    u = evolve(equation, u0[None], [3600, 7200], dt=300).u[0]
    exact = SphericalTransform(solver, 12).forward(u)
    stored = SphericalTransform(Sphere((33, 64), radius=EARTH_RADIUS), 12).inverse(exact)
    fields = y[:, 1:]
    for c in range(3):
        error = fields[c] - stored[:, c, ::2, ::2]
        assert error.norm() < 1e-3 * fields[c].norm()


def test_all_frames_are_sums_of_harmonics_up_to_the_degree():
    """The first one too, although the jet has more."""
    problem = ShallowWater("galewsky", **SMALL)
    grid = problem.grid((29, 56))
    fit = HarmonicFit(grid, 24)
    frames = problem.solved_sample(problem.spec(grid, 0, 1), 0).fields.values()
    power, of_the_jet = (
        fit.forward(u).abs().square().sum(-1)
        for u in (torch.stack(list(frames)), problem.sample_input(grid, 0, 0))
    )
    assert (power[..., 13:].sum(-1) <= 1e-16 * power[..., 1:13].sum(-1)).all()
    assert of_the_jet[1, 13:].sum() > of_the_jet[1, 1:13].sum()


def test_a_file_of_the_sphere(tmp_path):
    problem = ShallowWater("random", **RANDOM)
    grid = problem.grid((9, 16))
    path = tmp_path / "sphere.h5"
    report = generate(problem, grid, num_samples=3, seed=1, out=path)
    assert 0 < report["largest_residual"] < 1e-2

    with h5py.File(path) as file:
        assert file["height"].shape == (3, 3, 9, 16)
        assert file["latitude"][()].tolist() == pytest.approx([90 - 22.5 * i for i in range(9)])
        assert file["longitude"][()].tolist() == pytest.approx([22.5 * i for i in range(16)])
        assert file["latitude"].attrs["units"] == "degrees_north"
        assert file["time"][()].tolist() == pytest.approx([0, 1, 2])
        assert file["time"].attrs["units"] == "h"
        assert file["vorticity"].attrs["units"] == "1/s"

    dataset = open_dataset(path, dtype=torch.float64)
    assert dataset.domain == grid
    assert dataset.inputs == dataset.targets == ("height", "vorticity", "divergence")
    frames = torch.stack(list(problem.solved_sample(dataset.spec, 2).fields.values()), 1)
    batch = dataset.read([2])
    got = torch.cat([batch.input[0], batch.target[0]])
    torch.testing.assert_close(got, frames, rtol=1e-6, atol=1e-9)
    assert inspect(path)["times"] == "3 from 0 to 2 h"
    assert inspect(path)["fields"]["height"]["axes"] == "sample,time,latitude,longitude"
    assert "sphere of radius 6371220" in inspect(path)["grid_type"]

    one = Lp(2.0, domain=dataset.domain)(torch.ones(1, 1, 9, 16))
    assert one.item() ** 2 == pytest.approx(4 * math.pi * EARTH_RADIUS**2, rel=1e-5)


def test_xarray_reads_latitudes_and_longitudes(tmp_path):
    xarray = pytest.importorskip("xarray")
    problem = ShallowWater("galewsky", **SMALL)
    path = tmp_path / "a.h5"
    generate(problem, problem.grid((9, 16)), num_samples=1, seed=0, out=path)
    with xarray.open_dataset(path, engine="h5netcdf") as file:
        assert file["height"].dims == ("sample", "time", "latitude", "longitude")
        jet = file["height"].sel(latitude=45, time=2)
        assert jet.values.mean() < 10100
        assert float(file["latitude"][0]) == 90


def test_other_grids_are_refused():
    problem = ShallowWater()
    for wrong in (
        Grid((33, 64), (math.pi, 2 * math.pi), ("neumann", "periodic")),
        Sphere((33, 64)),
        Sphere((32, 64), "gauss", radius=EARTH_RADIUS),
        Sphere((5, 64), radius=EARTH_RADIUS),
    ):
        with pytest.raises(ValueError, match=r"equiangular latitudes of the earth.*got"):
            problem.check_grid(wrong)
