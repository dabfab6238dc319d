"""Windows of trajectories: which frames of which trajectory, from every kind of file."""

import pickle

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pdeops.batch import Batch
from pdeops.datasets import DatasetSpec, Field, Window, compatible, open_dataset
from pdeops.datasets.dataset import FieldDataset
from pdeops.datasets.layouts import native_file
from pdeops.datasets.source import MemorySource
from pdeops.domain import Grid

from .layouts import foreign_files as files
from .layouts.foreign_files import place

N, T = 4, 6
TIMES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
GRID = Grid((5, 3), boundary="periodic")


@pytest.fixture
def fields(generator):
    """A vector field and a scalar field that evolve, and one that does not."""
    return {
        "velocity": torch.randn(N, T, 2, *GRID.shape, generator=generator),
        "height": torch.randn(N, T, *GRID.shape, generator=generator),
        "ground": torch.randn(N, *GRID.shape, generator=generator),
    }


@pytest.fixture
def flow(tmp_path, fields):
    """The file that holds them."""
    spec = DatasetSpec(
        "flow",
        "test",
        "none",
        (
            Field("velocity", "state", "velocity", "m/s", ("u", "v")),
            Field("height", "state", "height", "m"),
            Field("ground", "input", "ground", "m"),
        ),
        GRID,
        {},
        None,
        N,
        times=TIMES,
        time_units="s",
    )
    return native_file.write(tmp_path / "flow.h5", spec, fields)


def expected(fields, trajectory, frames, *, n_in):
    """Input (n_in, 4, ...) and target of the frames of one trajectory, by slices."""
    v, h = fields["velocity"][trajectory, frames], fields["height"][trajectory, frames]
    u = torch.cat([v, h[:, None]], 1)
    ground = fields["ground"][trajectory].expand(n_in, 1, -1, -1)
    return torch.cat([u[:n_in], ground], 1), u[n_in:]


class TestWindow:
    def test_numbers_of_frames(self):
        window = Window(n_in=2, n_out=3, stride=2)
        assert (window.num_frames, window.span) == (5, 9)
        assert window.num_starts(9) == 1
        assert window.num_starts(12) == 4
        assert window.frames(np.array([0, 3])).tolist() == [[0, 2, 4, 6, 8], [3, 5, 7, 9, 11]]

    def test_one_that_is_longer_than_the_trajectory_is_refused_with_both_lengths(self):
        with pytest.raises(
            ValueError, match=r"2 input and 3 target .* spans 9 frames, but .* has 8"
        ):
            Window(2, 3, 2).num_starts(8)

    def test_the_whole_trajectory(self):
        assert Window.whole(6) == Window(1, 5)
        assert Window.whole(6, n_in=2) == Window(2, 4)
        assert Window.whole(6, n_in=1, stride=2) == Window(1, 2, 2)
        assert Window.whole(7, n_in=1, stride=2) == Window(1, 3, 2)
        with pytest.raises(ValueError, match=r"6 input .* no target frame .* of 6 frame"):
            Window.whole(6, n_in=6)

    @pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
    def test_numbers_below_one_are_refused(self, wrong):
        with pytest.raises(ValueError, match="at least one input frame and one target frame"):
            Window(*wrong)


class TestWindowsOfAFile:
    def test_by_default_the_first_frame_leads_to_all_later_ones(self, flow, fields):
        data = open_dataset(flow)
        assert len(data) == N
        assert data.window == Window(1, T - 1)
        assert (data.n_in, data.n_out) == (1, T - 1)
        assert data.inputs == ("velocity_u", "velocity_v", "height", "ground")
        assert data.targets == ("velocity_u", "velocity_v", "height")
        assert (data.in_channels, data.out_channels) == (4, 3)
        x, y = expected(fields, 2, range(T), n_in=1)
        assert torch.equal(data[2].input, x)
        assert torch.equal(data[2].target, y)
        assert data[2].times.tolist() == list(TIMES)

    @pytest.mark.parametrize("window", [Window(), Window(2, 1), Window(1, 2, 2), Window(3, 3)])
    def test_sample_i_is_start_and_trajectory(self, flow, fields, window):
        data = open_dataset(flow).windowed(window)
        starts = T - window.span + 1
        assert len(data) == N * starts
        numbers = [len(data) - 1, 0, starts - 1, 0]
        batch = data.read(numbers)
        assert batch.check().times.shape == (4, window.num_frames)
        for row, number in enumerate(numbers):
            trajectory, start = divmod(number, starts)
            frames = [start + k * window.stride for k in range(window.num_frames)]
            x, y = expected(fields, trajectory, frames, n_in=window.n_in)
            assert torch.equal(batch.input[row], x)
            assert torch.equal(batch.target[row], y)
            assert batch.times[row].tolist() == [TIMES[f] for f in frames]
        assert batch.input.is_contiguous()
        assert batch.target.is_contiguous()

    def test_a_pass_in_batches_and_workers_give_all_windows(self, flow):
        data = open_dataset(flow).windowed(Window(2, 1))
        everything = data.read(range(len(data)))
        for batches in (
            data.batches(5),
            DataLoader(data, batch_size=5, num_workers=2, collate_fn=Batch.collate),
        ):
            joined = Batch.cat(list(batches))
            for name in ("input", "target", "times"):
                assert torch.equal(joined.get(name), everything.get(name))

    def test_subsets_keep_their_trajectories(self, flow):
        data = open_dataset(flow)
        held_out = data.subset([3, 1]).windowed(Window(1, 1))
        assert len(held_out) == 2 * (T - 1)
        every = data.windowed(Window(1, 1))
        rows = [*range(3 * (T - 1), 4 * (T - 1)), *range(T - 1, 2 * (T - 1))]
        assert torch.equal(held_out.read(range(len(held_out))).target, every.read(rows).target)
        some = every.subset([6, 13, 7])  # of trajectories 1, 2 and 1
        assert torch.equal(some.read([1]).input, every.read([13]).input)
        assert len(some.trajectories()) == 2
        assert torch.equal(some.trajectories()[1].input, data[2].input)

    def test_trajectories_keep_input_frames_and_stride(self, flow, fields):
        data = open_dataset(flow).windowed(Window(2, 1, 2)).trajectories()
        assert data.window == Window(2, 1, 2)
        data = open_dataset(flow).windowed(Window(2, 1)).trajectories()
        assert (len(data), data.window) == (N, Window(2, T - 2))
        x, y = expected(fields, 3, range(T), n_in=2)
        assert torch.equal(data[3].input, x)
        assert torch.equal(data[3].target, y)
        assert data.trajectories(n_in=1).window == Window(1, T - 1)

    def test_in_memory_holds_the_same(self, flow):
        data = open_dataset(flow).windowed(Window(1, 2)).subset([13, 2, 0, 9, 3])
        held = data.in_memory()
        assert len(held.source) == 3  # trajectory 0 occurs three times
        for name in ("input", "target", "times"):
            assert torch.equal(held.read(range(5)).get(name), data.read(range(5)).get(name))
        again = held.windowed(Window(2, 1))
        assert torch.equal(again.read([4]).target, data.windowed(Window(2, 1)).read([4]).target)
        held.read([0]).target.zero_()
        assert torch.equal(held.read([0]).target, data.read([0]).target)

    def test_a_copy_by_pickle(self, flow):
        data = open_dataset(flow).windowed(Window(1, 2))
        copy = pickle.loads(pickle.dumps(data))
        assert copy.window == data.window
        assert torch.equal(copy[5].target, data[5].target)

    def test_one_that_is_too_long_is_refused(self, flow):
        with pytest.raises(ValueError, match=r"spans 7 frames, but a trajectory has 6"):
            open_dataset(flow).windowed(Window(1, 6))

    def test_steady_data_have_no_windows(self, darcy_file):
        data = open_dataset(darcy_file)
        assert (data.window, data.n_in, data.n_out, data.times) == (None, None, None, ())
        assert "times" not in data.read([0])
        for cut in (lambda: data.windowed(Window()), data.trajectories):
            with pytest.raises(ValueError, match="has no field of role 'state'"):
                cut()

    def test_damage_is_found_in_every_frame_once(self, flow):
        with h5py.File(flow, "r+") as file:
            file["velocity"][2, T - 1, 1, 4, 2] = np.nan
        data = open_dataset(flow)
        for view in (data, data.windowed(Window(1, 1, 3))):
            with pytest.raises(ValueError, match=r"field 'velocity_v' in sample\(s\) 2\."):
                view.check()
        data.subset([0, 1, 3]).windowed(Window()).check()


def test_other_times_are_not_compatible(tmp_path):
    def trajectories(times, n=2):
        u = torch.zeros(n, len(times), 1, *GRID.shape)
        return FieldDataset(MemorySource({"state": u}, {"state": ["u"]}, times=times), GRID)

    data = trajectories((0.0, 0.1, 0.2))
    compatible(data, trajectories((1.0, 1.1, 1.2, 1.3)))  # longer, as a rollout is
    with pytest.raises(ValueError, match=r"time step 0\.1 there, 0\.2 here"):
        compatible(data, trajectories((0.0, 0.2, 0.4)))
    compatible(data, trajectories((0.0, 0.2, 0.4)), may_differ=["time step"])


class TestForeignTrajectories:
    """Arrays that the caller names as states, lazily from every kind of file."""

    WRITERS = (
        "mat5", "mat73", "mat73_chunked", "npz", "npz_compressed", "npz_fortran", "npy_folder",
        "hdf5", "hdf5_chunked", "torch",
    )  # fmt: skip

    @pytest.mark.parametrize("order", ["sample,time,x,y", "x,sample,y,time"])
    @pytest.mark.parametrize("writer", WRITERS)
    def test_windows_are_the_frames(self, tmp_path, writer, order):
        u = place(shape=(3, 7, 4, 5))  # sample, time, x, y
        axes = order.split(",")
        stored = u.transpose([("sample", "time", "x", "y").index(a) for a in axes])
        files.WRITERS[writer][0](tmp_path / "a", {"w": stored.copy(), "t": np.arange(7.0) / 4})
        data = open_dataset(tmp_path / "a", states=["w"], axes={"w": order})
        assert data.times == tuple(np.arange(7) / 4)
        data = data.windowed(Window(2, 1, 2))  # three starts per trajectory
        numbers = [8, 1, 0, 1, 5]
        batch = data.read(numbers)
        for row, number in enumerate(numbers):
            i, k = divmod(number, 3)
            np.testing.assert_array_equal(batch.input[row, :, 0], u[i, [k, k + 2]])
            np.testing.assert_array_equal(batch.target[row, :, 0], u[i, [k + 4]])
        assert data.read([]).input.shape == (0, 2, 1, 4, 5)
        whole = data.trajectories(1).windowed(Window(1, 6)).read([2, 0])
        np.testing.assert_array_equal(whole.target[:, :, 0], u[[2, 0], 1:])

    @pytest.mark.parametrize("write", [files.netcdf3, files.netcdf4])
    def test_xarray_names_the_axes(self, tmp_path, write):
        u = place(shape=(3, 7, 4, 5))
        write(tmp_path / "a", {"w": u}, dims=("sample", "t", "x", "y"), t=np.arange(7) * 0.5)
        data = open_dataset(tmp_path / "a", states=["w"]).windowed(Window(1, 1))
        np.testing.assert_array_equal(data[7].input[0, 0], u[1, 1])
        assert data[7].times.tolist() == [0.5, 1.0]

    def test_only_the_needed_frames_are_read(self, tmp_path):
        """Of a chunked file; so a window costs its own frames, not the trajectory's."""
        with h5py.File(tmp_path / "a", "w") as file:
            file.create_dataset("w", data=place(shape=(3, 50, 4, 5)), chunks=(1, 1, 4, 5))
        data = open_dataset(tmp_path / "a", states=["w"], axes="sample,time,x,y")
        data = data.windowed(Window(2, 1))
        seen = []
        read = data.source.store.read

        def counted(name, key):
            values = read(name, key)
            seen.append(values.shape)
            return values

        data.source.store.read = counted
        data.read([48, 0, 30])
        assert sorted(seen) == [(1, 3, 4, 5), (1, 33, 4, 5)]  # two trajectories: 30..32 and 0..., 0

    def test_a_state_needs_named_axes(self, tmp_path):
        files.npz(tmp_path / "a", {"w": place(shape=(3, 7, 4, 5))})
        with pytest.raises(ValueError, match=r"not clear.*--state w --axes sample,time,x,y"):
            open_dataset(tmp_path / "a", states=["w"])
        with pytest.raises(ValueError, match="'w' is a state, which needs the axis time"):
            open_dataset(tmp_path / "a", states=["w"], axes="sample,x,y,z")

    def test_what_does_not_go_with_states_is_refused(self, tmp_path):
        files.npz(tmp_path / "a", {"w": place(shape=(3, 7, 4)), "f": place(shape=(3, 7, 4))})
        with pytest.raises(ValueError, match="Leave the targets out"):
            open_dataset(tmp_path / "a", states=["w"], targets=["f"], axes="sample,time,x")
        with pytest.raises(ValueError, match="Beside states, inputs do not change in time"):
            open_dataset(tmp_path / "a", states=["w"], inputs=["f"], axes="sample,time,x")


class TestInMemory:
    def test_positions_travel_with_their_samples(self, generator):
        fields = {r: torch.randn(3, 1, 8, generator=generator) for r in ("input", "target")}
        names = {"input": ["a"], "target": ["u"]}
        positions = torch.rand(3, 2, 8, generator=generator)
        source = MemorySource(fields, names, others=Batch(positions=positions))
        data = FieldDataset(source, Grid((8,)))
        for view in (data, data.in_memory()):
            assert torch.equal(view.read([2, 0]).positions, positions[[2, 0]])
        with pytest.raises(ValueError, match=r"those of 7 points; got fields of .*8"):
            MemorySource(fields, names, others=Batch(positions=positions[..., :7]))
        with pytest.raises(ValueError, match="hold the same samples"):
            MemorySource(fields, names, others=Batch(positions=positions[:2]))

    def test_frames_need_times_that_increase(self):
        fields, names = {"state": torch.zeros(2, 3, 1, 8)}, {"state": ["u"]}
        with pytest.raises(ValueError, match="have 3 frames, and there are 2 times"):
            MemorySource(fields, names, times=(0.0, 1.0))
        with pytest.raises(ValueError, match="must increase"):
            MemorySource(fields, names, times=(0.0, 2.0, 1.0))
        with pytest.raises(ValueError, match="belong to the same roles"):
            MemorySource(fields, {"input": ["u"]}, times=(0.0, 1.0, 2.0))
