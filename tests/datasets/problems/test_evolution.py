"""What holds for every kind of every time-dependent problem; files with a time axis."""

import json
import math
from importlib import resources

import h5py
import pytest
import torch

from pdeops.calculus import fourier
from pdeops.datasets import (
    EVOLUTIONS,
    Burgers,
    DatasetSpec,
    NavierStokes,
    Window,
    generate,
    inspect,
    open_dataset,
    problem_named,
    problem_of,
)
from pdeops.datasets.layouts import native_file
from pdeops.datasets.problems.evolution import PeriodicProblem
from pdeops.datasets.problems.periodic_fields import PeriodicGaussianField, RingVorticity
from pdeops.datasets.problems.random_fields import sample_generator
from pdeops.domain import Grid

SMALL = {
    "viscosity": 0.02, "t_end": 0.2, "num_frames": 2, "dt": 0.01, "refinement": 2, "num_waves": 3
}  # fmt: skip
FINER = {"dt": 0.001, "refinement": 4}
# Of the sphere: t_end in hours, dt in seconds; a jet and bumps need more degrees than waves.
SPHERE = {"viscosity": 1e15, "t_end": 1.0, "num_frames": 2, "dt": 900.0}
ROWS = {
    "random": (SPHERE | {"degree": 15, "num_waves": 5}, {"dt": 450.0, "degree": 20}),
    "galewsky": (SPHERE | {"degree": 85, "speed": 1.0}, {"dt": 450.0, "degree": 106}),
}
# Dense and late kinds differ from others by the parameters that SMALL sets.
KINDS = [
    (name, kind)
    for name, problem in EVOLUTIONS.items()
    for kind in problem.KINDS
    if not kind.endswith(("_dense", "_late"))
]


def small(name, kind):
    """Parameters of a problem that is solved in a moment, and what makes them finer."""
    if name == "shallow_water":
        return ROWS[kind]
    return SMALL, FINER


@pytest.fixture(
    params=[
        pytest.param(
            kind, id="-".join(kind), marks=pytest.mark.slow if kind[1] == "galewsky" else ()
        )
        for kind in KINDS
    ]
)
def problem(request):
    return problem_named(*request.param, **small(*request.param)[0])


def grid_of(problem, n=24):
    return problem.grid([n] * (1 if problem.name == "burgers" else 2))


class TestEveryKind:
    """The contract, for each kind."""

    def test_the_stored_solution_is_that_of_a_finer_grid_and_step(self, problem):
        spec = problem.spec(grid_of(problem), 3, 1)
        sample = problem.solved_sample(spec, 0)
        assert "reached" in sample.reason
        assert 0 < sample.residual < problem.tolerance
        x = problem.sample_input(problem.solver_grid(spec.domain), 3, 0)
        x = problem.stored(x, spec.domain)
        parameters, finer = small(problem.name, problem.kind)
        fine = problem_named(problem.name, problem.kind, **parameters | finer)
        u0 = fine.sample_input(fine.solver_grid(spec.domain), 3, 0)
        exact = fine.solve(u0, spec.domain, courant=0.5).u[0].transpose(0, 1)
        assert list(sample.fields) == [name for name, *_ in problem.fields]
        for start, u, v in zip(x, sample.fields.values(), exact, strict=True):
            assert torch.equal(u[0], start)
            assert (u[1:] - v).norm() < 4e-3 * v.norm()
            assert (u[2] - start).norm() > 1e-2 * (v - v.mean()).norm()  # it moved

    def test_later_frames_are_those_of_the_solver_to_the_last_bit(self, problem):
        spec = problem.spec(grid_of(problem), 3, 1)
        sample = problem.solved_sample(spec, 0)
        u0 = problem.sample_input(problem.solver_grid(spec.domain), 3, 0)
        solved = problem.solve(u0, spec.domain, courant=0.5).u[0]
        for c, u in enumerate(sample.fields.values()):
            assert torch.equal(u[1:], solved[:, c])

    def test_samples_are_the_same_functions_on_a_finer_grid(self, problem):
        grid = grid_of(problem)
        for index in range(2):
            x, fine = (problem.sample_input(g, 0, index) for g in (grid, grid.refined(3)))
            strided = fine[..., *[slice(None, None, 3)] * grid.ndim]
            torch.testing.assert_close(x, strided, rtol=1e-12, atol=1e-12)
            if isinstance(problem, PeriodicProblem):
                assert abs(x.mean()) < 1e-12 * x.norm()
        assert not torch.equal(x, problem.sample_input(grid, 0, 0))

    def test_the_spec_leads_back_to_the_problem(self, problem):
        spec = problem.spec(grid_of(problem), 3, 5)
        again = DatasetSpec.from_json(spec.to_json())
        assert again == spec
        assert again.difference(spec) == []
        other = problem_named(again.name, again.kind, **again.parameters)
        assert other.spec(again.domain, 3, 5) == spec
        t_end = problem.inputs.t_end
        assert spec.times == problem.times == pytest.approx([0, t_end / 2, t_end])
        again = problem_of(spec)
        assert type(again) is type(problem)
        assert again.inputs == problem.inputs


@pytest.mark.parametrize(
    ("name", "kind"), [k for k in KINDS if issubclass(EVOLUTIONS[k[0]], PeriodicProblem)]
)
def test_other_grids_than_periodic_boxes_are_refused(name, kind):
    parameters = small(name, kind)[0]
    problem = problem_named(name, kind, **parameters)
    extent = [2 * L for L in problem.inputs.extent]
    for wrong in (
        Grid([24] * len(extent), extent, "periodic"),
        Grid([24] * len(extent), problem.inputs.extent),
    ):
        with pytest.raises(ValueError, match=r"is solved on a periodic box"):
            problem.check_grid(wrong)
    many = problem_named(name, kind, **parameters | {"num_waves": 24})
    with pytest.raises(ValueError, match=r"needs 49 nodes; got 48.*--resolution 25 or more"):
        grid_of(many)
    grid_of(many, 25)
    grid_of(problem_named(name, kind, **parameters | {"num_waves": 24, "refinement": 3}))


def test_a_file_of_trajectories(tmp_path):
    problem = NavierStokes("mcwilliams", **SMALL)
    grid = grid_of(problem)
    path = tmp_path / "a.h5"
    report = generate(problem, grid, num_samples=3, seed=1, out=path)
    assert 0 < report["largest_residual"] < 1e-3

    with h5py.File(path) as file:
        assert file["vorticity"].shape == (3, 3, 24, 24)
        assert file["vorticity"].attrs["role"] == "state"
        assert file["time"][()].tolist() == pytest.approx([0, 0.1, 0.2])
        assert [d.label or d[0].name for d in file["vorticity"].dims] == [
            "/sample", "/time", "/x", "/y",
        ]  # fmt: skip

    dataset = open_dataset(path, dtype=torch.float64)
    assert dataset.inputs == dataset.targets == ("vorticity",)
    assert (dataset.window, dataset.n_in, dataset.n_out) == (Window(1, 2), 1, 2)
    batch = dataset.read([2, 0])
    assert batch.times.tolist() == [pytest.approx([0, 0.1, 0.2])] * 2
    for row, index in enumerate((2, 0)):
        frames = problem.solved_sample(dataset.spec, index).fields["vorticity"][:, None]
        got = torch.cat([batch.input[row], batch.target[row]])
        torch.testing.assert_close(got, frames, rtol=1e-6, atol=1e-6)
    report = inspect(path)
    assert report["samples"] == 3
    assert report["times"] == "3 from 0 to 0.2"
    row = report["fields"]["vorticity"]
    assert (row["role"], row["axes"], row["shape"]) == ("state", "sample,time,x,y", [3, 3, 24, 24])
    with h5py.File(path) as file:
        assert row["max"] == file["vorticity"][()].max()


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(tmp_path):
    problem = NavierStokes("mcwilliams", **SMALL)
    paths = [tmp_path / f"{i}.h5" for i in range(2)]
    for path, workers in zip(paths, (1, 2), strict=True):
        generate(problem, grid_of(problem), num_samples=3, seed=1, out=path, workers=workers)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_xarray_reads_the_time_axis(tmp_path):
    xarray = pytest.importorskip("xarray")
    problem = Burgers(**SMALL)
    path = tmp_path / "a.h5"
    generate(problem, grid_of(problem), num_samples=2, seed=0, out=path)
    with xarray.open_dataset(path, engine="h5netcdf") as file:
        assert file["u"].dims == ("sample", "time", "x")
        assert file["time"].values.tolist() == pytest.approx([0, 0.1, 0.2])


@pytest.mark.slow
def test_generation_goes_on_where_it_stopped(tmp_path):
    problem = Burgers(**SMALL)
    grid, whole, stopped = grid_of(problem), tmp_path / "a.h5", tmp_path / "b.h5"
    generate(problem, grid, num_samples=4, seed=0, out=whole)

    def stop(done):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(problem, grid, num_samples=4, seed=0, out=stopped, progress=stop)
    report = generate(problem, grid, num_samples=4, seed=0, out=stopped)
    assert report["resumed"] == 2
    assert stopped.read_bytes() == whole.read_bytes()


def test_predictions_of_trajectories_are_written_alike(tmp_path, generator):
    problem = Burgers(**SMALL)
    spec = problem.spec(grid_of(problem), 0, 3)
    fields = {f.name: torch.rand(spec.shape(f), generator=generator) for f in spec.fields}
    path = native_file.write(tmp_path / "a.h5", spec, fields)
    batch = open_dataset(path).read([1])
    assert torch.equal(batch.input[0, :, 0], fields["u"][1, :1])
    assert torch.equal(batch.target[0, :, 0], fields["u"][1, 1:])
    with pytest.raises(ValueError, match="fields must be"):
        native_file.write(tmp_path / "b.h5", spec, fields | {"u": fields["u"][:, 0]})


def test_a_flow_that_cannot_be_followed_is_not_stored(tmp_path):
    problem = NavierStokes("mcwilliams", **SMALL | {"viscosity": 0.0, "dt": 5.0, "t_end": 20.0})
    with pytest.raises(ArithmeticError, match=r"misses the tolerance: \|u_dt.*Set dt"):
        generate(problem, grid_of(problem, 8), num_samples=1, seed=0, out=tmp_path / "a.h5")


def test_steady_specs_say_nothing_of_time():
    spec = problem_named("darcy").spec(Grid((9, 9)), 0, 1)
    assert not {"times", "time_units"} & set(json.loads(spec.to_json()))
    assert spec.times == ()


@pytest.mark.parametrize("name", EVOLUTIONS)
def test_every_problem_has_a_card_that_names_its_kinds_and_parameters(name):
    card = (resources.files("pdeops.datasets.cards") / f"{name}.md").read_text(encoding="utf-8")
    for heading in ("Equation", "Kinds", "Grid", "Solver", "Cost", "Difficulty", "Licence"):
        assert f"**{heading}.**" in card
    for kind in EVOLUTIONS[name].KINDS:
        assert f"`{kind}`" in card
        problem = problem_named(name, kind)
        for field in problem.spec(grid_of(problem, 256), 0, 1).fields:
            assert f'"{field.name}"' in card
        for key, value in problem.parameters.items():
            assert f"`{key}` {value:.4g}" in card


class TestPeriodicFields:
    grid = Grid((32, 24), (1.0, 2.0), "periodic")

    def test_spectrum(self):
        """Each wave's power has the expectation scale² (|ξ|² + τ²)^-α / area."""
        field = PeriodicGaussianField(tau=5.0, alpha=2.0, scale=3.0, num_waves=4)
        u = torch.stack([field.sample(self.grid, sample_generator(0, i)) for i in range(800)])
        power = fourier.transform(u, self.grid).abs().square().mean(0)
        for k, l in ((1, 0), (0, 1), (2, 3), (-2, 3)):
            xi2 = (2 * math.pi * k) ** 2 + (math.pi * l) ** 2
            expected = 9 * (xi2 + 25) ** -2.0 / 2
            assert power[k, l].item() == pytest.approx(expected, rel=0.2)
        assert power[0, 0] < 1e-20
        assert power[5:-5].max() < 1e-20

    def test_every_ring_has_the_same_energy(self):
        for index in range(3):
            w = RingVorticity(peak=8.0, num_waves=6).sample(self.grid, sample_generator(0, index))
            psi = -fourier.inverse_laplacian(w, self.grid)
            speed = sum(fourier.derivative(psi, self.grid, a).square().mean() for a in (0, 1))
            assert speed.item() / 2 == pytest.approx(0.5, rel=1e-12)

    def test_bad_parameters(self):
        with pytest.raises(ValueError, match="tau, alpha, scale > 0"):
            PeriodicGaussianField(tau=0.0, alpha=2.0)
        with pytest.raises(ValueError, match="peak > 0"):
            RingVorticity(peak=-1.0)
