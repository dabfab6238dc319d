"""Public formats with a time axis: one contract for all, then what is peculiar to each."""

import math
import pickle

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pdeops.batch import Batch
from pdeops.datasets import Window, convert, inspect, open_dataset
from pdeops.domain import Grid, Sphere

from . import public_files as public
from .public_files import N, T, X, Y, wave

STEP = 0.05
UNIT = Grid((X, Y), boundary="periodic")
LINE = Grid((X,), boundary="periodic", placement="centers")
CELLS = Grid((X, Y), boundary="periodic", placement="centers")


def cells(extent, boundary):
    return Grid((X, Y), extent, boundary, "centers")


def lines(*phases):
    return np.stack([public.line(phase=p) for p in phases], 2)


def planes(*phases, **more):
    return np.stack([wave(phase=p, **more) for p in phases], 2)


# Writer -> (layout, options of the caller, domain, times, names of the channels, states).
ROWS = {
    "fno_navier_stokes": (
        "FNO, Navier-Stokes", {}, UNIT, range(T + 1), ("u",), wave(times=T + 1)[:, :, None],
    ),
    "advection": ("PDEBench, flat", {}, LINE, STEP * np.arange(T), ("tensor",), lines(0)),
    "burgers": (
        "PDEBench, flat", {}, Grid((X,), 2.0, "periodic", "centers"), STEP * np.arange(T),
        ("tensor",), lines(0),
    ),
    "reaction_diffusion_1d": (
        "PDEBench, flat", {}, LINE, STEP * np.arange(T), ("tensor",), lines(0),
    ),
    "fluid_1d": (
        "PDEBench, flat", {"boundary": "periodic"}, LINE, STEP * np.arange(T),
        ("density", "pressure", "Vx"), lines(0, 1, 2),
    ),
    "fluid_2d": (
        "PDEBench, flat", {"boundary": "periodic"}, CELLS, STEP * np.arange(T),
        ("density", "pressure", "Vx", "Vy"), planes(0, 1, 2, 3, centers=True),
    ),
    "reaction_diffusion_2d": (
        "PDEBench, a group for each sample", {}, cells(2.0, "neumann"), np.arange(T) / 4,
        ("data_u", "data_v"), planes(0, 1, centers=True),
    ),
    "shallow_water": (
        "PDEBench, a group for each sample", {}, cells(5.0, "neumann"), np.arange(T) / 4,
        ("data",), planes(0, centers=True),
    ),
    "incompressible": (
        "PDEBench, incompressible flow", {}, cells(1.0, "dirichlet"), 0.005 * np.arange(T),
        ("velocity_x", "velocity_y", "particles"),
        np.concatenate([planes(0, 1, centers=True), planes(2)], 2),
    ),
    "the_well": (
        "The Well", {}, UNIT, np.arange(T) / 10,
        ("density", "mean", "profile", "velocity_x", "velocity_y",
         *(f"strain_{c}" for c in ("xx", "xy", "yx", "yy")),
         *(f"stress_{c}" for c in ("xx", "xy", "yx", "yy"))),
        np.stack(
            [(u := wave()), np.broadcast_to(u[:1], u.shape),
             np.broadcast_to(u[..., :1], u.shape), u, 2 * u,
             *(k * u + 1 for k in (1, 2, 3, 4)), *(k * u for k in (1, 2, 3, 4))], 2),
    ),
}  # fmt: skip
ROWS["fno_navier_stokes_v5"] = ROWS["fno_navier_stokes_v73_chunked"] = ROWS["fno_navier_stokes"]


@pytest.fixture(params=ROWS)
def twin(request, tmp_path):
    """A file whose name says nothing, and what it holds."""
    path = tmp_path / "own.data"
    getattr(public, request.param)(path)
    return path, *ROWS[request.param]


def opened(twin, **more):
    path, _, grid, *_ = twin
    return open_dataset(path, grid=grid or None, dtype=torch.float64, **more)


class TestEveryFormat:
    def test_it_is_known_by_its_content(self, twin):
        path, layout, grid, *_, channels, states = twin
        report = inspect(path)
        assert report["format"] == layout
        if grid:
            assert "boundary: periodic, or neumann" in report["train"]
            return
        assert report["train"].startswith("[data]\ntrain = ")
        for i, name in enumerate(channels):
            row = report["fields"][name]
            assert (row["role"], row["not_finite"]) == ("state", 0)
            assert row["max"] == pytest.approx(states[:, :, i].max(), rel=1e-6)

    def test_times_nodes_and_values_are_those_of_the_file(self, twin):
        *_, domain, times, channels, states = twin
        data = opened(twin)
        assert data.domain == domain
        assert data.times == pytest.approx(list(times), abs=1e-6)
        assert (data.inputs[: len(channels)], data.targets) == (channels, channels)
        assert len(data) == N
        batch = data.read([2, 0])
        c = len(channels)
        got = torch.cat([batch.input[:, :, :c], batch.target], 1)
        np.testing.assert_array_equal(got, states[[2, 0]].astype("f8"))
        np.testing.assert_allclose(batch.times, [data.times] * 2)

    def test_windows_are_frames_of_the_trajectories(self, twin):
        """In any order, with repetitions: sample i is window i mod s of trajectory i // s."""
        *_, times, channels, states = twin
        window = Window(2, 1)
        data = opened(twin).windowed(window)
        starts = len(times) - 2
        assert len(data) == N * starts
        order = [starts + 1, 0, starts, 2 * starts + 2, 0]
        batch = data.read(order)
        for row, index in enumerate(order):
            i, start = divmod(index, starts)
            got = torch.cat([batch.input[row, :, : len(channels)], batch.target[row]])
            np.testing.assert_array_equal(got, states[i, start : start + 3].astype("f8"))
            np.testing.assert_allclose(batch.times[row], data.times[start : start + 3], rtol=1e-12)

    def test_conversion_keeps_fields_times_and_parameters(self, twin, tmp_path):
        path, _, grid, *_ = twin
        convert(path, tmp_path / "own.h5", grid=grid or None, without=[1])
        foreign, ours = opened(twin), open_dataset(tmp_path / "own.h5", dtype=torch.float64)
        assert (ours.domain, ours.times) == (foreign.domain, foreign.times)
        assert (ours.inputs, ours.targets) == (foreign.inputs, foreign.targets)
        expected, got = foreign.read([0, 2]), ours.read([0, 1])
        for name, u in expected.members().items():
            torch.testing.assert_close(getattr(got, name), u, rtol=0, atol=0)
        assert set(ours.parameters) == set(foreign.parameters)
        for name, value in foreign.subset([0, 2]).parameters.items():
            np.testing.assert_array_equal(ours.parameters[name], value)
        with h5py.File(tmp_path / "own.h5") as file:
            np.testing.assert_allclose(file["time"][()], foreign.times)

    def test_a_copy_by_pickle_opens_the_file_anew(self, twin):
        data = opened(twin)
        expected = data.read([1])
        copy = pickle.loads(pickle.dumps(data))
        assert torch.equal(copy.read([1]).target, expected.target)

    def test_workers_open_the_file_for_themselves(self, twin):
        data = opened(twin)
        data.read([0])
        loader = DataLoader(
            data,
            batch_size=2,
            num_workers=1,
            multiprocessing_context="fork",
            collate_fn=Batch.collate,
        )
        got = torch.cat([b.target for b in loader])
        assert torch.equal(got, data.read(range(N)).target)


class TestWhatIsRead:
    """Batches read their samples and frames, not the file."""

    FRAMES, NODES = 20, 64

    def file_of(self, path, name):
        """Velocity and particles, or a group for each sample: noise, which does not compress."""
        random = np.random.default_rng(0)
        shape = (12, self.FRAMES, self.NODES, self.NODES)
        if name == "groups":
            u = random.standard_normal((*shape, 1)).astype("f4")
            public.grouped(path, u, 0.0, 1.0, "sim:\n  gravity: 1.0\n", "lzf")
            return u
        u = random.standard_normal((*shape, 2)).astype("f4")
        with h5py.File(path, "w") as file:
            chunks = (1, 1, *shape[2:], 2)
            file.create_dataset("velocity", data=u, chunks=chunks, compression="lzf")
            file.create_dataset("particles", data=u[..., :1], chunks=(*chunks[:-1], 1))
            file["t"] = np.arange(self.FRAMES, dtype="f4")
        return u

    @pytest.mark.parametrize("name", ["groups", "arrays"])
    def test_a_batch_of_windows_reads_its_frames_only(self, tmp_path, name):
        u = self.file_of(tmp_path / "d", name)
        given = {"extent": 1.0, "boundary": "dirichlet"}
        data = open_dataset(tmp_path / "d", grid=given).windowed(Window(1, 1))
        if name == "groups":
            data = data.subset(range(0, len(data), self.FRAMES - 1))
        else:
            data = data.subset([5 * (self.FRAMES - 1) + 3])
        data.read([0])
        before = bytes_read()
        batch = data.read([5] if name == "groups" else [0])
        frames = (0, 1) if name == "groups" else (3, 4)
        read, size = bytes_read() - before, (tmp_path / "d").stat().st_size
        assert read < size / 10
        np.testing.assert_array_equal(batch.target[0, 0, 0], u[5, frames[1], ..., 0])

    def test_other_samples_may_be_unreadable(self, tmp_path):
        """The control for caches of the system: the other groups hold a filter that fails."""
        public.shallow_water(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        store = data.source.store.inner

        def read(name, key, original=store.read):
            assert name == "0001/data", f"{name} was read for sample 1"
            return original(name, key)

        store.read = read
        np.testing.assert_array_equal(data.read([1]).target[0, :, 0], wave(centers=True)[1, 1:])
        with pytest.raises(AssertionError, match="0002/data was read"):
            data.read([2])

    def test_a_window_of_a_mapped_73_file_touches_its_frames_only(self, tmp_path):
        public.fno_navier_stokes(tmp_path / "d")
        data = open_dataset(tmp_path / "d").windowed(Window(1, 1))
        store, keys = data.source.store.inner, []

        def read(name, key, original=store.read):
            keys.append((name, key[0], key[-1]))
            return original(name, key)

        store.read = read
        data.read([T + 3])  # frames 3 and 4 of sample 1: 2 and 3 of u
        assert keys == [("u", slice(1, 2), slice(2, 4))]


def bytes_read():
    """What this process has read from files so far."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


class TestFNO:
    def test_a_is_the_first_frame_and_u_alone_may_be_named(self, tmp_path):
        public.fno_navier_stokes(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert any("the first frame of u is a, at time 0" in note for note in data.notes)
        alone = open_dataset(tmp_path / "d", states=["u"], axes="sample,x,y,time")
        assert alone.times == tuple(range(1, T + 1))
        pairs = open_dataset(
            tmp_path / "d",
            inputs=["a"],
            targets=["u"],
            axes={"a": "sample,x,y", "u": "sample,x,y,time"},
        )
        assert torch.equal(pairs.read([2]).target, data.read([2]).target)
        assert torch.equal(pairs.read([2]).input, data.read([2]).input[:, 0])

    def test_without_times_frames_are_counted_and_with_others_refused(self, tmp_path):
        u = np.moveaxis(wave(), 1, -1)
        public.mat5(tmp_path / "d", {"a": u[..., 0], "u": u})
        data = open_dataset(tmp_path / "d")
        assert data.times == tuple(range(T + 1))
        assert any("counted from 0" in note for note in data.notes)
        public.mat5(tmp_path / "e", {"a": u[..., 0], "u": u, "t": np.arange(3.0)})
        with pytest.raises(ValueError, match=r"u in .* has 5 frames after a, and t has 3 times"):
            open_dataset(tmp_path / "e")

    def test_a_first_time_of_zero_makes_a_superfluous(self, tmp_path):
        u = np.moveaxis(wave(), 1, -1)
        public.mat5(tmp_path / "d", {"a": u[..., 0], "u": u, "t": np.arange(5.0)})
        data = open_dataset(tmp_path / "d")
        assert data.times == tuple(range(T))
        assert any("a is not read" in note for note in data.notes)

    def test_the_viscosity_is_not_in_the_file(self, tmp_path):
        public.fno_navier_stokes(tmp_path / "V1e-3.mat")  # nor is it taken from the name
        message = r"does not state the parameter 'viscosity'.*--parameter viscosity="
        with pytest.raises(ValueError, match=message):
            open_dataset(tmp_path / "V1e-3.mat").parameter("viscosity")
        given = {"viscosity": 1e-3}
        report = convert(tmp_path / "V1e-3.mat", tmp_path / "o.h5", parameters=given)
        assert report["parameters"] == given
        assert open_dataset(tmp_path / "o.h5").parameter("viscosity") == 1e-3


class TestPDEBench:
    def test_parameters_and_equations_follow_from_the_attributes(self, tmp_path):
        public.burgers(tmp_path / "b")
        data = open_dataset(tmp_path / "b")
        assert data.parameter("viscosity") == pytest.approx(0.01 / math.pi, rel=1e-15)
        assert data.parameter("Nu") == 0.01
        assert any("x-coordinate begins at -0.875; the box is shifted" in n for n in data.notes)
        convert(tmp_path / "b", tmp_path / "o.h5")
        assert open_dataset(tmp_path / "o.h5").spec.equation.startswith("u_t + u u_x = viscosity")
        public.advection(tmp_path / "a")
        assert dict(open_dataset(tmp_path / "a").parameters) == {"beta": 0.4}
        public.incompressible(tmp_path / "i")
        assert dict(open_dataset(tmp_path / "i").parameters) == {"viscosity": 0.01}

    def test_an_unknown_equation_and_boundary_are_asked_for(self, tmp_path):
        public.flat(tmp_path / "d", {"tensor": public.line()}, {})
        with pytest.raises(ValueError, match=r"does not state its boundary.*--boundary \.\.\."):
            open_dataset(tmp_path / "d")
        given = {"boundary": ["periodic"]}
        assert open_dataset(tmp_path / "d", grid=given).domain == LINE

    def test_darcy(self, tmp_path):
        public.darcy(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert inspect(tmp_path / "d")["format"] == "PDEBench, flat"
        assert (data.inputs, data.targets, data.window) == (("nu",), ("tensor",), None)
        assert data.domain == Grid((X, Y), placement="centers")
        assert data.parameter("beta") == 1.0
        np.testing.assert_array_equal(data.read([1]).target[:, 0], wave(times=1, centers=True)[1])

    def test_the_settings_of_each_group_give_one_parameter_for_each_sample(self, tmp_path):
        public.shallow_water(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert data.parameter("gravity") == 1.0
        np.testing.assert_allclose(data.parameter("dam_radius"), [0.3, 0.4, 0.5])
        batch = data.windowed(Window(1, 1)).read([T - 1, 0])  # samples 1 and 0
        np.testing.assert_allclose(batch.parameters, [[0.4], [0.3]])
        assert "T_end" not in data.parameters

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda f: f.__delitem__("0001/data"), "'0001/data' in .* holds nothing"),
            (lambda f: f["0002/grid/t"].__setitem__(1, 0.3), "must have the same times.*0002/grid"),
        ],
    )
    def test_groups_that_differ_are_refused(self, tmp_path, change, message):
        public.reaction_diffusion_2d(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            change(file)
        with pytest.raises(ValueError, match=message):
            open_dataset(tmp_path / "d")

    def test_more_groups_than_are_listed_at_once(self, tmp_path):
        u = np.arange(400.0).reshape(400, 1, 1, 1, 1) + np.zeros((400, 2, 4, 3, 1))
        public.grouped(tmp_path / "d", u, 0.0, 1.0, "sim:\n  gravity: 1.0\n")
        data = open_dataset(tmp_path / "d")
        assert len(data) == 400
        assert data.read([399, 7]).target[:, 0, 0, 0, 0].tolist() == [399.0, 7.0]

    def test_a_force_is_an_input_and_a_subset_of_fields_may_be_chosen(self, tmp_path):
        public.incompressible(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert data.inputs == ("velocity_x", "velocity_y", "particles", "force_x", "force_y")
        force = data.read([1]).input[0, 0, 3:]
        np.testing.assert_array_equal(force[0], wave(centers=True)[1, 0] / 2)
        one = open_dataset(tmp_path / "d", states=["velocity"])
        assert one.inputs == one.targets == ("velocity_x", "velocity_y")

    def test_times_that_differ_between_samples_or_fields_are_refused(self, tmp_path):
        public.incompressible(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            file["t"][1, 2] += 1e-3
        with pytest.raises(ValueError, match="differ between samples"):
            open_dataset(tmp_path / "d")
        assert convert(tmp_path / "d", tmp_path / "o.h5", times=range(T))["times"] == [*range(T)]
        with h5py.File(tmp_path / "d", "r+") as file:
            u = file["particles"][:, ::2]
            del file["particles"], file["t"]
            file["particles"] = u
        with pytest.raises(ValueError, match="velocity has 5 frames; particles has 3 frames"):
            open_dataset(tmp_path / "d")
        assert len(open_dataset(tmp_path / "d", states=["velocity"]).times) == T

    def test_without_settings_box_and_boundary_are_asked_for(self, tmp_path):
        public.incompressible(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            del file.attrs["config"]
        with pytest.raises(ValueError, match="does not state its extent and boundary"):
            open_dataset(tmp_path / "d")
        given = {"extent": 1.0, "boundary": "dirichlet"}
        data = open_dataset(tmp_path / "d", grid=given)
        with pytest.raises(ValueError, match="does not state the parameter 'viscosity'"):
            data.parameter("viscosity")


class TestTheWell:
    def test_fields_that_do_not_vary_in_time_are_inputs(self, tmp_path):
        public.the_well(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert data.inputs[len(data.targets) :] == ("mask", "wall")
        u, fixed = wave(), data.read([2]).input[0, 0, -2:]
        np.testing.assert_array_equal(fixed[0], u[2, 0])
        np.testing.assert_array_equal(fixed[1], np.broadcast_to(u[0, 0, :, :1], (X, Y)))

    def test_parameters_and_scalars(self, tmp_path):
        public.the_well(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert data.parameter("Reynolds") == 100.0
        assert data.parameter("gamma") == pytest.approx(1.4)
        np.testing.assert_allclose(data.read([2, 0]).parameters, [[0.3], [0.1]], rtol=1e-6)
        assert any("scalars/forcing (5,) changes in time" in note for note in data.notes)
        assert (
            inspect(tmp_path / "d")["parameters"]["viscosity"] == "0.1 to 0.3, one for each sample"
        )

    def test_walls_are_no_boundary_condition_of_all_fields(self, tmp_path):
        public.the_well(tmp_path / "d", sides=("WALL", "periodic"))
        with pytest.raises(ValueError, match=r"the file says x wall, y periodic"):
            open_dataset(tmp_path / "d")
        given = {"boundary": ["neumann", "periodic"], "placement": ["centers", "left"]}
        assert open_dataset(tmp_path / "d", grid=given).domain.boundary == ("neumann", "periodic")

    def test_attributes_that_do_not_fit_the_array_are_refused(self, tmp_path):
        public.the_well(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            file["t0_fields/profile"].attrs["dim_varying"] = [False, True]
        with pytest.raises(ValueError, match=r"profile \(3, 5, 8\) .* must have the axes of 3 sam"):
            open_dataset(tmp_path / "d")

    def test_attributes_may_be_absent_where_an_array_has_all_axes(self, tmp_path):
        """As The Well's own writer of dummy data does."""
        public.the_well(tmp_path / "d")
        expected = open_dataset(tmp_path / "d", states=["density", "velocity"]).read([1])
        with h5py.File(tmp_path / "d", "r+") as file:
            del file.attrs["n_trajectories"], file["dimensions"].attrs["spatial_dims"]
            for name in ("t0_fields/density", "t1_fields/velocity"):
                for key in list(file[name].attrs):
                    del file[name].attrs[key]
        got = open_dataset(tmp_path / "d", states=["density", "t1_fields/velocity"]).read([1])
        assert torch.equal(got.target, expected.target)

    def test_times_of_each_sample_are_read_if_they_agree(self, tmp_path):
        public.the_well(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            del file["dimensions/time"]
            file["dimensions/time"] = np.tile(np.arange(T) / 10, (N, 1))
        assert open_dataset(tmp_path / "d").times == pytest.approx(np.arange(T) / 10)
        with h5py.File(tmp_path / "d", "r+") as file:
            file["dimensions/time"][1, -1] = 7.0
        with pytest.raises(ValueError, match="differ between samples"):
            open_dataset(tmp_path / "d")

    def test_other_coordinates_than_cartesian_ones(self, tmp_path):
        public.the_well(tmp_path / "d")
        sphere = Sphere((X, Y))
        with h5py.File(tmp_path / "d", "r+") as file:
            file.attrs["grid_type"] = "equiangular"
            file["dimensions"].attrs["spatial_dims"] = ["theta", "phi"]
            for i, (old, name) in enumerate(zip("xy", ("theta", "phi"), strict=True)):
                del file[f"dimensions/{old}"]
                file[f"dimensions/{name}"] = sphere.axis(i)
        data = open_dataset(tmp_path / "d")
        assert data.domain == sphere
        np.testing.assert_array_equal(data.read([1]).target[0, :, 0], wave()[1, 1:])
        data.source.store.release()
        with h5py.File(tmp_path / "d", "r+") as file:
            file["dimensions/theta"][:] = np.geomspace(1, 2, X)
        with pytest.raises(ValueError, match="is equiangular, with the axes theta, phi: give"):
            open_dataset(tmp_path / "d")


class TestTorchCFD:
    given = ({"extent": 1.0}, range(T))

    def test_box_and_times_are_asked_for(self, tmp_path):
        public.torch_cfd(tmp_path / "d")
        with pytest.raises(ValueError, match=r"extent and times.*--extent \.\.\. --times \.\.\.$"):
            open_dataset(tmp_path / "d")
        report = convert(tmp_path / "d", tmp_path / "o.h5", grid={"extent": 2.0}, times=range(T))
        assert (report["states"], report["times"]) == (["vorticity"], [*range(T)])
        data = open_dataset(tmp_path / "o.h5")
        assert data.domain == Grid((X, X), 2.0, "periodic")
        np.testing.assert_array_equal(data.read([2]).target[0, :, 0], wave(shape=(X, X))[2, 1:])

    def test_derived_fields_are_read_if_named(self, tmp_path):
        public.torch_cfd(tmp_path / "d")
        grid, times = self.given
        states = ["vorticity", "stream"]
        data = open_dataset(tmp_path / "d", states=states, grid=grid, times=times)
        assert data.targets == ("vorticity", "stream")

    def test_older_files_have_the_time_last(self, tmp_path):
        u = torch.from_numpy(np.moveaxis(wave(shape=(X, X)), 1, -1))
        content = {"vorticity": u, "vorticity_t": u, "t_steps": torch.arange(T) / 4}
        torch.save(content, tmp_path / "d")
        data = open_dataset(tmp_path / "d", grid={"extent": 1.0})
        assert data.times == pytest.approx(np.arange(T) / 4)
        assert torch.equal(data.read([1]).target[0, :, 0], u[1, ..., 1:].movedim(-1, 0))

    def test_a_cube_of_nodes_and_times_is_ambiguous(self, tmp_path):
        u = torch.from_numpy(wave(times=X, shape=(X, X)))
        torch.save({"vorticity": u, "stream": u}, tmp_path / "d")
        with pytest.raises(ValueError, match="its lengths do not tell"):
            open_dataset(tmp_path / "d")
