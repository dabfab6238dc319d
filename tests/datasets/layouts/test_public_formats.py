"""Public formats with a time axis: one contract for all, then what a batch reads."""

import pickle

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pdeops.batch import Batch
from pdeops.datasets import Window, convert, inspect, open_dataset
from pdeops.domain import Grid

from . import public_files as public
from .foreign_files import bytes_read
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
    """A file whose name and suffix do not show its format, and its expected content."""
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

    def test_other_arrays_are_those_that_are_not_used(self, twin):
        path, _, grid, *_ = twin
        if not h5py.is_hdf5(path):
            pytest.skip("h5py adds no array to a MATLAB file of version 5")
        with h5py.File(path, "r+") as file:
            place = "0001/extra" if "0001" in file else "extra"
            file[place] = np.zeros(7)
        report = inspect(path)
        if grid:  # the file does not state its boundary: every array has an entry of its own
            assert set(report["fields"]) > {"extra", "t-coordinate"}
            return
        well = ["boundary_conditions/x_periodic/mask", "boundary_conditions/y_PERIODIC/mask"]
        unused = [*well, "scalars/forcing"] if report["format"] == "The Well" else []
        assert sorted(row.split()[0] for row in report["other_arrays"]) == sorted([*unused, place])

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


@pytest.mark.parametrize("name", ["the_well", "shallow_water", "fno_navier_stokes_v73_chunked"])
def test_workers_open_the_file_for_themselves(tmp_path, name):
    getattr(public, name)(tmp_path / "d")
    data = open_dataset(tmp_path / "d")
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
        """A control that caches of the system cannot hide: reading another group is an error."""
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
