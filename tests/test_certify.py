"""Predictions with error bars: what the file says is proven again from its fields."""

import math
from dataclasses import replace

import h5py
import pytest
import torch

from pdeops import certify, load_run
from pdeops.datasets import Darcy, Poisson, generate, open_dataset
from pdeops.datasets.layouts import native_file
from pdeops.domain import Grid, Sphere
from pdeops.estimators import EnergyBounds
from pdeops.polish import polished
from pdeops.solvers import Laplacian, without_boundary
from pdeops.solvers.krylov.diagonal import Diagonal

from .stand_in import run_of

SHAPE = (17, 17)
PROBLEMS = {
    "darcy": Darcy("piecewise", num_modes=16),
    "neumann": Poisson("neumann", num_modes=8),
    "mixed": Poisson("mixed", num_modes=8),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three samples of each problem."""
    folder = tmp_path_factory.mktemp("data")
    made = {}
    for name, problem in PROBLEMS.items():
        made[name] = folder / f"{name}.h5"
        generate(problem, problem.grid(SHAPE), num_samples=3, seed=3, out=made[name])
    return made


@pytest.mark.parametrize("name", PROBLEMS)
def test_bounds_in_the_file(files, tmp_path, name):
    problem, out = PROBLEMS[name], tmp_path / "out.h5"
    report = certify.predict(run_of(problem), files[name], out)
    with h5py.File(out) as file:
        lower, upper = (file[f"energy_error_{side}"][()] for side in ("lower", "upper"))
        assert "cell around each node" in file["energy_error_upper"].attrs["long_name"]
    stored = open_dataset(out)
    for i in range(3):
        sample = stored[i]
        a, f = problem.diffusion(sample.input.double(), stored.domain)
        got = EnergyBounds(a, f, stored.domain)(sample.target[0])
        assert upper[i] == pytest.approx(got.relative_upper, rel=1e-9)
        assert lower[i] == pytest.approx(got.relative_lower, rel=1e-9)
        assert 0.03 < lower[i] < upper[i] < 0.5
    figures = report.to_dict()
    assert figures["largest_energy_error_upper"] == pytest.approx(upper.max())
    assert f"at most {upper.max():.2e}" in report.to_markdown()


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("tol", [1e-2, 1e-5, 1e-9])
def test_the_tolerance_is_met(files, tmp_path, name, tol):
    problem, out = PROBLEMS[name], tmp_path / "out.h5"
    report = certify.predict(run_of(problem), files[name], out, tol=tol)
    stored = open_dataset(out)
    grid = stored.domain
    with h5py.File(out) as file:  # a batch is in float32
        exact = torch.from_numpy(file[problem.fields[1].name][()])
    for i in range(3):
        x = stored[i].input.double()
        A = problem.operator(x, grid)
        u = without_boundary(problem.solve(x, grid, rtol=1e-12).x, grid)
        e = u - without_boundary(exact[i], grid)
        assert (e * (A @ e)).sum() <= tol**2 * (u * (A @ u)).sum() * (1 + 1e-6)
    table = report.iterations()
    assert [t for t, _, _ in table] == [
        *(10.0**-k for k in range(1, 12) if 10.0**-k > 1.001 * tol),
        tol,
    ]
    assert all(mine <= zero + 1e-9 for _, mine, zero in table)
    text = report.to_markdown()
    assert f"at most {tol:g}" in text
    assert ("does not resolve" in text) == (max(report.to_dict()["energy_error_upper"], 0) > tol)


def test_the_bar_is_above_the_error_at_every_iteration():
    """Contrast 1e4, where the residual says little."""
    problem = Darcy("piecewise", low=1.0, high=1e4, num_modes=16)
    grid = problem.grid(SHAPE)
    x = problem.sample_input(grid, 0, 0)
    bounds = EnergyBounds(*problem.diffusion(x, grid), grid)
    u = without_boundary(problem.solve(x, grid, rtol=1e-13).x, grid)
    norm = (u * (bounds.A @ u)).sum().sqrt()
    for k in range(1, 8):
        got = polished(bounds, None, 10.0**-k)
        e = u - without_boundary(got.u, grid)
        error = ((e * (bounds.A @ e)).sum().sqrt() / norm).item()
        assert error <= got.bars[-1] <= 10.0**-k
        assert got.bars == sorted(got.bars, reverse=True)
        assert got.needed(10.0**-k) == got.iterations


def test_the_bar_is_the_error_where_the_coefficient_is_constant():
    problem = PROBLEMS["mixed"]
    grid = problem.grid(SHAPE)
    x = problem.sample_input(grid, 0, 0)
    a, f = problem.diffusion(x, grid)
    bounds = EnergyBounds(a, f, grid, M=Diagonal(Laplacian(grid)))
    u = without_boundary(problem.solve(x, grid).x, grid)
    got = polished(bounds, None, 0.3)
    e = u - without_boundary(got.u, grid)
    error = ((e * (bounds.A @ e)).sum() / (u * (bounds.A @ u)).sum()).sqrt().item()
    # |u_h| is bounded from below by the last iterate, which is wrong by error²/2.
    assert error <= got.bars[-1] < error / math.sqrt(1 - error**2) * (1 + 1e-9)
    assert got.bars[0] == pytest.approx(1 / math.sqrt(1 - error**2), rel=1e-9)


def test_an_exact_prediction_needs_no_iteration(files, tmp_path):
    """Stored in float32, the solution is exact to 1e-7 and rough at the nodes."""
    run = run_of(PROBLEMS["darcy"], factor=3.0, ramp=0.0)  # scaled back
    report = certify.predict(run, files["darcy"], tmp_path / "out.h5", tol=1e-4)
    assert report.iterations()[-1][1] == 0
    assert "The prediction saved" in report.to_markdown()


def test_a_source_of_zero():
    problem = PROBLEMS["mixed"]
    grid = problem.grid(SHAPE)
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    bounds = EnergyBounds(1.0, zero, grid)
    got = bounds(zero)
    assert (got.lower, got.upper, got.relative_upper) == (0, 0, math.inf)
    assert polished(bounds, zero + 1, 1e-6).u.abs().max() == 0


def test_a_band(tmp_path):
    """Calibrated on 20 samples; the file says how many of its targets are inside."""
    problem, calibration, data = PROBLEMS["darcy"], tmp_path / "c.h5", tmp_path / "d.h5"
    generate(problem, problem.grid((9, 9)), num_samples=20, seed=1, out=calibration)
    generate(problem, problem.grid((9, 9)), num_samples=10, seed=2, out=data)
    run = run_of(problem)
    for simultaneous in (True, False):
        band = certify.conformal_band(run, calibration, level=0.8, simultaneous=simultaneous)
        out = tmp_path / f"{simultaneous}.h5"
        report = certify.predict(run, data, out, bounds=False, band=band)
        stored, truth = open_dataset(out), open_dataset(data)
        with h5py.File(out) as file:
            width = torch.from_numpy(file["pressure_band"][()])
            assert "energy_error_upper" not in file
        inside = torch.stack(
            [(truth[i].target - stored[i].target)[0].abs() <= width for i in range(10)]
        )
        share = inside.flatten(1).all(1) if simultaneous else inside
        figures = report.to_dict()
        assert figures["coverage"] == pytest.approx(share.double().mean().item())
        assert 0.4 < figures["coverage"] <= 1
        assert 0 < figures["coverage_standard_error"] < 0.2
        if simultaneous:  # two hits and two misses are added to six hits
            expected = math.sqrt(0.8 * 0.2 / 10)
            assert replace(report, covered=[1.0] * 6).coverage()[1] == pytest.approx(expected)
    finer = tmp_path / "f.h5"
    generate(problem, problem.grid(SHAPE), num_samples=2, seed=2, out=finer)
    moved = certify.predict(run, finer, tmp_path / "moved.h5", bounds=False, band=band)
    assert "nothing is promised on this grid" in moved.to_markdown()
    with pytest.raises(ValueError, match="samples of the calibration"):
        certify.predict(run, calibration, tmp_path / "same.h5", bounds=False, band=band)
    trained = replace(run, spec=replace(run.spec, seed=1))
    with pytest.raises(ValueError, match="was trained or selected on"):
        certify.conformal_band(trained, calibration)
    table = replace(run.recipe.data, validation=str(calibration))
    with pytest.raises(ValueError, match="was trained or selected on"):
        certify.conformal_band(
            replace(run, recipe=replace(run.recipe, data=table)), calibration, level=0.5
        )


def test_a_band_of_another_equation_is_refused(files, tmp_path):
    """On the same grid: sources of zero mean flux, for a run on coefficients, and the reverse."""
    run = run_of(PROBLEMS["mixed"])
    with pytest.raises(ValueError, match="samples of one equation"):
        certify.conformal_band(run, files["neumann"], level=0.5)
    band = certify.conformal_band(run, files["mixed"], level=0.5)
    with pytest.raises(ValueError, match="that of the calibration"):
        certify.predict(run, files["neumann"], tmp_path / "out.h5", bounds=False, band=band)


def written(path, problem, source, *, targets):
    """A file with these sources, and solutions of zero or none."""
    spec = problem.spec(problem.grid(source.shape[1:]), 5, len(source))
    fields = {spec.fields[0].name: source}
    if targets:
        fields[spec.fields[1].name] = torch.zeros_like(source)
    else:
        spec = replace(spec, fields=spec.fields[:1])
    native_file.write(path, spec, fields, residuals=torch.zeros(len(source)))
    return path


def test_a_file_without_targets(tmp_path):
    """It gets predictions, bounds and a band; it is no calibration."""
    problem, out = PROBLEMS["mixed"], tmp_path / "out.h5"
    source = torch.randn(2, 9, 9, generator=torch.Generator().manual_seed(0))
    data = written(tmp_path / "inputs.h5", problem, source, targets=False)
    generate(problem, problem.grid((9, 9)), num_samples=4, seed=1, out=tmp_path / "c.h5")
    run = run_of(problem)
    band = certify.conformal_band(run, tmp_path / "c.h5", level=0.5)
    report = certify.predict(run, data, out, band=band)
    assert "coverage" not in report.to_dict()
    target = problem.fields[1].name
    with h5py.File(out) as file:
        assert file[f"{target}_band"].shape == (9, 9)
        assert abs(file[target][()]).max() > 0
    with pytest.raises(ValueError, match=r"has 0 target\(s\)"):
        certify.conformal_band(run, data, level=0.5)


def test_sources_of_zero(tmp_path):
    """The relative error has no bound; the report says so."""
    problem = PROBLEMS["mixed"]
    data = written(tmp_path / "zero.h5", problem, torch.zeros(1, 9, 9), targets=True)
    report = certify.predict(run_of(problem), data, tmp_path / "out.h5", tol=1e-3)
    assert "may be zero, so its relative error has no bound" in report.to_markdown()


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet"])
def test_one_iteration_of_an_exact_preconditioner_is_enough(boundary):
    """The residual after it is round-off. The source of Neumann ends has a mean."""
    grid = Grid((9, 9), boundary=boundary)
    f = torch.randn(9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 3
    got = polished(EnergyBounds(1.0, f, grid), None, 1e-12)
    assert got.iterations == 1


def test_bad_input(files, tmp_path):
    run, out = run_of(PROBLEMS["darcy"]), tmp_path / "out.h5"
    for tol in (-1.0, 1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="positive and below 1"):
            certify.predict(run, files["darcy"], out, tol=tol)
    with pytest.raises(ValueError, match="round-off"):
        certify.predict(run, files["darcy"], out, tol=1e-17)
    band = certify.conformal_band(run, files["darcy"], level=0.5, simultaneous=False)
    with pytest.raises(ValueError, match="one of the two"):
        certify.predict(run, files["darcy"], out, tol=1e-3, band=band)
    with pytest.raises(ValueError, match=r"at least 38 samples.*has 3"):
        certify.conformal_band(run, files["darcy"], level=0.95)
    with pytest.raises(ValueError, match="NaN"):
        certify.predict(run_of(PROBLEMS["darcy"], factor=math.nan), files["darcy"], out)
    with pytest.raises(ValueError, match="NaN"):
        certify.predict(run_of(PROBLEMS["darcy"], factor=math.nan), files["darcy"], out, tol=0.1)
    assert not out.exists()
    with pytest.raises(ValueError, match="steady fields"):
        certify.require_operator(replace(run, domain=Sphere((8, 16))))
    with pytest.raises(ValueError, match="steady fields"):
        certify.require_operator(load_run("dcdm_poisson"))
