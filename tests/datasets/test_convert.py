"""Own data to a file of the project: what is written, where, and what happens when it cannot be."""

import os
import tracemalloc

import h5py
import numpy as np
import pytest
import torch

from pdeops.datasets import (
    ShallowWater,
    compatible,
    convert,
    generate,
    inspect,
    open_dataset,
    problem_of,
)
from pdeops.datasets.containers.store import Array
from pdeops.datasets.symmetry import DihedralAugmentation
from pdeops.domain import Grid

from .layouts import foreign_files as files
from .layouts.foreign_files import SHAPE, place


def test_three_lines_for_arrays_in_memory(tmp_path):
    a, u = place(), torch.from_numpy(place(-3.0))
    report = convert({"a": a, "u": u}, tmp_path / "own.h5", inputs=["a"], targets=["u"])
    data = open_dataset(tmp_path / "own.h5")
    assert (data.inputs, data.targets, data.domain) == (("a",), ("u",), Grid(SHAPE[1:]))
    batch = data.read([3, 0])
    np.testing.assert_array_equal(batch.input[:, 0], a[[3, 0]])
    np.testing.assert_array_equal(batch.target[:, 0], u[[3, 0]])
    assert report["samples"] == 4
    assert len(report["notes"]) == 3  # boundary, extent and placement were assumed
    assert data.spec.source == "converted from arrays in memory"


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_axes_in_any_order_channels_and_all_dimensions(tmp_path, ndim):
    shape = (3, 2, 4, 5, 6)[: 2 + ndim]  # sample, channel, space
    a, u = place(shape=shape), place(7.0, shape=(shape[0], *shape[2:]))
    letters = "xyz"[:ndim]
    arrays = {"a": np.moveaxis(a, (0, 1), (-1, 1)), "u": np.moveaxis(u, 0, 1)}
    axes = {
        "a": ",".join((letters[0], "channel", *letters[1:], "sample")),
        "u": [letters[0], "sample", *letters[1:]],
    }
    grid = Grid(shape[2:], extent=2.0, boundary="periodic")
    convert(arrays, tmp_path / "o.h5", inputs=["a"], targets=["u"], axes=axes, grid=grid)
    data = open_dataset(tmp_path / "o.h5")
    assert (data.inputs, data.targets, data.domain) == (("a_0", "a_1"), ("u",), grid)
    batch = data.read([2, 0])
    np.testing.assert_array_equal(batch.input, a[[2, 0]])
    np.testing.assert_array_equal(batch.target[:, 0], u[[2, 0]])
    with h5py.File(tmp_path / "o.h5") as file:
        names = [dim[0].name for dim in file["u"].dims]
        assert names == ["/sample", *(f"/{letter}" for letter in letters)]


def test_several_inputs_and_targets_keep_their_order(tmp_path):
    arrays = {name: place(s) for name, s in zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True)}
    convert(arrays, tmp_path / "o.h5", inputs=["c", "a"], targets=["d", "b"])
    batch = open_dataset(tmp_path / "o.h5").read([1])
    for u, scales in ((batch.input, (3.0, 1.0)), (batch.target, (4.0, 2.0))):
        for channel, scale in enumerate(scales):
            np.testing.assert_array_equal(u[0, channel], place(scale)[1])


@pytest.mark.parametrize(
    ("dtypes", "stored"),
    [
        (("f4", "f4"), "float32"),
        (("f4", "f8"), "float64"),
        (("?", "f4"), "float32"),
        (("u1", "i2"), "float32"),
        (("i4", "f4"), "float64"),
        (("f2", "f4"), "float32"),
    ],
)
def test_the_stored_type_holds_every_value(tmp_path, dtypes, stored):
    a, u = (place().astype(dtype) for dtype in dtypes)
    report = convert({"a": a, "u": u}, tmp_path / "o.h5", inputs=["a"], targets=["u"])
    assert report["dtype"] == stored
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["a"].dtype == file["u"].dtype == stored
        np.testing.assert_array_equal(file["a"][()], a.astype(stored))
        np.testing.assert_array_equal(file["u"][()], u.astype(stored))
    report = convert(
        {"a": a, "u": u}, tmp_path / "p.h5", inputs=["a"], targets=["u"], dtype="float32"
    )
    assert report["dtype"] == "float32"


def test_what_the_file_says_of_itself(tmp_path):
    files.mat73(tmp_path / "train.mat", {"coeff": place(), "sol": place(2.0)})
    files.mat5(tmp_path / "test.mat", {"coeff": place(), "sol": place(5.0)})
    for name in ("train", "test"):
        report = convert(tmp_path / f"{name}.mat", tmp_path / f"{name}.h5")
        assert report["grid"] == Grid(SHAPE[1:]).to_dict()
    train, test = (open_dataset(tmp_path / f"{name}.h5") for name in ("train", "test"))
    compatible(train, test)
    assert problem_of(train.spec) is None
    assert train.spec.source == "converted from train.mat"
    assert "train.mat" in train.spec.licence
    assert str(tmp_path) not in train.spec.to_json()
    report = inspect(tmp_path / "train.h5")
    assert report["largest_residual"] is None
    assert report["grid_type"].startswith("x: 5 nodes, endpoints, dirichlet; y: 7")
    # Nobody said that the problem has no symmetries: the caller decides.
    square = {"a": place()[:, :, :5], "u": place()[:, :, :5]}
    convert(square, tmp_path / "s.h5", inputs=["a"], targets=["u"])
    DihedralAugmentation(open_dataset(tmp_path / "s.h5"), 0)


def test_names_of_coordinates_are_kept_apart(tmp_path):
    """neuraloperator's names, x and y, are those of the axes here."""
    report = convert(
        {"x": place(), "y": place(2.0)}, tmp_path / "o.h5", inputs=["x"], targets=["y"]
    )
    assert (report["inputs"], report["targets"]) == (["input_x"], ["target_y"])
    assert "x is called input_x, since x is a coordinate in the file" in report["notes"]
    np.testing.assert_array_equal(open_dataset(tmp_path / "o.h5")[2].target[0], place(2.0)[2])


def test_the_published_file_is_converted_on_its_grid(shared_data, tmp_path):
    source = shared_data / "neuraloperator" / "darcy_test_16.pt"
    report = convert(source, tmp_path / "o.h5")
    raw, data = open_dataset(source), open_dataset(tmp_path / "o.h5")
    assert data.domain == raw.domain == Grid((16, 16), placement="centers")
    for role in ("input", "target"):
        assert torch.equal(data.read(range(50)).get(role), raw.read(range(50)).get(role))
    assert any("right end" in note for note in report["notes"])
    source = shared_data / "neuraloperator" / "burgers_train_16.pt"
    axes = {"x": "sample,x", "y": "sample,time,x"}
    boundary = {"boundary": "periodic"}
    convert(source, tmp_path / "b.h5", inputs=["x"], targets=["y"], axes=axes, grid=boundary)
    y = torch.load(source, weights_only=True)["y"]
    data = open_dataset(tmp_path / "b.h5", dtype=torch.float64)
    batch = data.read([5, 700])
    assert torch.equal(batch.target, y[[5, 700], :, None])
    assert batch.input.shape == (2, 1, 16)
    assert (data.n_in, data.n_out, data.times[:2]) == (None, 17, (1.0, 2.0))  # counted


def test_our_own_files_and_lists_of_their_fields(darcy_file, tmp_path):
    convert(darcy_file, tmp_path / "o.h5", inputs=["pressure"], targets=["permeability"])
    data, ours = open_dataset(tmp_path / "o.h5"), open_dataset(darcy_file)
    assert data.domain == ours.domain
    assert torch.equal(data.read([3]).input, ours.read([3]).target)
    with pytest.raises(ValueError, match="a file of the project already"):
        convert(darcy_file, tmp_path / "p.h5")


class TestTimeAndChannels:
    """One variable per field, with its axes of time and components."""

    def arrays(self):
        w, v = place(shape=(3, 4, 9, 13)), place(7.0, shape=(3, 9, 4, 13, 2))
        return {"w": w, "v": v, "k": place(3.0, shape=(3, 9, 13)), "t": np.arange(4) / 8}

    AXES = {"w": "sample,time,x,y", "v": "sample,x,time,y,channel", "k": "sample,x,y"}  # noqa: RUF012

    def convert(self, tmp_path, **more):
        report = convert(
            self.arrays(),
            tmp_path / "o.h5",
            states=["v", "w"],
            inputs=["k"],
            axes=self.AXES,
            **more,
        )
        return report, open_dataset(tmp_path / "o.h5")

    def test_several_fields_of_several_channels(self, tmp_path):
        report, data = self.convert(tmp_path)
        assert (report["states"], report["inputs"], report["targets"]) == (["v", "w"], ["k"], [])
        assert report["times"] == [0, 1 / 8, 2 / 8, 3 / 8]
        assert data.inputs == ("v_0", "v_1", "w", "k")
        arrays = self.arrays()
        with h5py.File(tmp_path / "o.h5") as file:
            assert file["v"].shape == (3, 4, 2, 9, 13)
            np.testing.assert_array_equal(file["v"], np.moveaxis(arrays["v"], (2, 4), (1, 2)))
            np.testing.assert_array_equal(file["w"], arrays["w"])
            names = [dim[0].name for dim in file["v"].dims]
            assert names == ["/sample", "/time", "/channel", "/x", "/y"]
        sample = data[2]
        np.testing.assert_array_equal(sample.input[0, 3], arrays["k"][2])
        np.testing.assert_array_equal(
            sample.target[:, 1], arrays["v"][2, :, 1:, :, 1].swapaxes(0, 1)
        )

    def test_every_second_node_of_every_frame(self, tmp_path):
        _, data = self.convert(tmp_path, stride=4)
        assert data.domain == Grid((3, 4))
        arrays = self.arrays()
        np.testing.assert_array_equal(data[1].target[:, 2], arrays["w"][1, 1:, ::4, ::4])
        np.testing.assert_array_equal(data[1].input[0, 1], arrays["v"][1, ::4, 0, ::4, 1])

    def test_small_blocks_give_the_same_file(self, tmp_path, monkeypatch):
        blocks = Array.blocks
        monkeypatch.setattr(Array, "blocks", lambda array: blocks(array, 60))
        _, data = self.convert(tmp_path, stride=2)
        arrays = self.arrays()
        np.testing.assert_array_equal(data[1].target[:, 2], arrays["w"][1, 1:, ::2, ::2])
        np.testing.assert_array_equal(data[1].input[0, 1], arrays["v"][1, ::2, 0, ::2, 1])

    def test_the_fields_of_our_own_file_keep_axes_times_units_and_domain(self, tmp_path):
        problem = ShallowWater("random", t_end=1.0, num_frames=2, degree=12, num_waves=5, dt=900.0)
        grid, fine = problem.grid((17, 32)), tmp_path / "fine.h5"
        generate(problem, grid, num_samples=2, seed=0, out=fine)
        convert(fine, tmp_path / "o.h5", states=["vorticity", "height"], stride=4)
        data, whole = open_dataset(tmp_path / "o.h5"), open_dataset(fine)
        assert data.domain == grid.with_shape((5, 8))
        assert data.spec.times == whole.spec.times == (0.0, 0.5, 1.0)
        assert data.spec.time_units == "h"
        assert [(f.name, f.units) for f in data.spec.fields] == [
            ("vorticity", "1/s"),
            ("height", "m"),
        ]
        expected = whole.read([1]).target[:, :, [1, 0], ::4, ::4]
        assert torch.equal(data.read([1]).target, expected)

    def test_vector_fields_are_not_moved_by_symmetries(self, tmp_path):
        arrays = {"a": place(shape=(3, 5, 5)), "v": place(shape=(3, 2, 5, 5))}
        convert(
            arrays,
            tmp_path / "o.h5",
            inputs=["a"],
            targets=["v"],
            axes={"a": "sample,x,y", "v": "sample,channel,x,y"},
        )
        with pytest.raises(ValueError, match=r"several channels \(v\) are taken for vectors"):
            DihedralAugmentation(open_dataset(tmp_path / "o.h5"), 0)


class TestBlocks:
    """Streaming: every value once, in pieces as they lie on the disk."""

    @pytest.mark.parametrize("chunk", [None, (2, 3, 4), (5, 1, 7)])
    @pytest.mark.parametrize("first_axis_fastest", [False, True])
    @pytest.mark.parametrize("num_bytes", [1, 100, 400, 10**9])
    def test_blocks_cover_the_array_once(self, chunk, first_axis_fastest, num_bytes):
        shape = (5, 6, 7)
        array = Array(
            "a", shape, np.dtype("f4"), "", chunk=chunk, first_axis_fastest=first_axis_fastest
        )
        count = np.zeros(shape, int)
        for block in array.blocks(num_bytes):
            count[block] += 1
            bytes_of_chunk = 4 * np.prod(chunk or (1, 1, 1))
            assert count[block].size * 4 <= max(num_bytes, bytes_of_chunk)
            for part, size in zip(block, chunk or (1, 1, 1), strict=True):
                assert part.start % size == 0
        assert (count == 1).all()

    def test_blocks_are_neighbours_on_the_disk(self):
        first = next(Array("a", (5, 6, 7), np.dtype("f4"), "").blocks(4 * 14))
        assert first == (slice(0, 1), slice(0, 2), slice(0, 7))
        reverse = Array("a", (5, 6, 7), np.dtype("f4"), "", first_axis_fastest=True)
        assert next(reverse.blocks(4 * 10)) == (slice(0, 5), slice(0, 2), slice(0, 1))

    @pytest.mark.parametrize("write", [files.hdf5_chunked, files.mat73, files.npz])
    def test_small_blocks_give_the_same_file(self, tmp_path, monkeypatch, write):
        write(tmp_path / "a", {"a": place(), "u": place(2.0)})
        convert(tmp_path / "a", tmp_path / "whole.h5", inputs=["a"], targets=["u"])
        blocks = Array.blocks
        monkeypatch.setattr(Array, "blocks", lambda array: blocks(array, 60))
        seen = []
        arguments = {"inputs": ["a"], "targets": ["u"], "progress": seen.append}
        convert(tmp_path / "a", tmp_path / "parts.h5", **arguments)
        assert len(seen) > 4
        assert seen == sorted(seen)
        assert seen[-1] == 1.0
        with h5py.File(tmp_path / "whole.h5") as a, h5py.File(tmp_path / "parts.h5") as b:
            for name in ("a", "u"):
                np.testing.assert_array_equal(a[name][()], b[name][()])

    def test_memory_does_not_grow_with_the_file(self, tmp_path, monkeypatch):
        """16 MB of a chunked file, read in blocks of 1 MB."""
        with h5py.File(tmp_path / "a", "w") as file:
            for name in ("a", "u"):
                file.create_dataset(name, (128, 128, 128), "f4", chunks=(4, 128, 128))
        blocks = Array.blocks
        monkeypatch.setattr(Array, "blocks", lambda array: blocks(array, 2**20))
        tracemalloc.start()
        try:
            convert(tmp_path / "a", tmp_path / "o.h5", inputs=["a"], targets=["u"])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 6 * 2**20


class TestStride:
    """Every K-th node of each axis of space, whatever the order of axes and blocks."""

    def test_of_arrays_in_any_order_with_channels(self, tmp_path):
        a, u = place(shape=(3, 2, 9, 13)), place(7.0, shape=(3, 9, 13))
        arrays = {"a": np.moveaxis(a, (0, 1), (-1, 1)), "u": u}
        axes = {"a": "x,channel,y,sample"}
        arguments = {"inputs": ["a"], "targets": ["u"], "axes": axes}
        report = convert(arrays, tmp_path / "o.h5", **arguments, stride=4)
        data = open_dataset(tmp_path / "o.h5")
        assert data.domain == Grid((3, 4))
        assert report["grid"] == data.domain.to_dict()
        assert data.spec.source == "converted from arrays in memory, one node of 4 along each axis"
        batch = data.read([2, 0])
        np.testing.assert_array_equal(batch.input, a[[2, 0], :, ::4, ::4])
        np.testing.assert_array_equal(batch.target[:, 0], u[[2, 0], ::4, ::4])

    @pytest.mark.parametrize(
        ("shape", "placement", "first"), [((8, 11), "interior", 2), ((9, 15), "centers", 1)]
    )
    def test_begins_where_the_coarse_grid_does(self, tmp_path, shape, placement, first):
        a = place(shape=(2, *shape))
        arguments = {"inputs": ["a"], "targets": ["u"], "grid": {"placement": placement}}
        convert({"a": a, "u": -a}, tmp_path / "o.h5", **arguments, stride=3)
        y = open_dataset(tmp_path / "o.h5").read([0, 1]).target
        np.testing.assert_array_equal(y[:, 0], -a[:, first::3, first::3])

    @pytest.mark.parametrize("write", [files.hdf5_chunked, files.mat73, files.npz])
    @pytest.mark.parametrize("num_bytes", [4, 60, 300])
    def test_small_blocks_give_the_same_file(self, tmp_path, monkeypatch, write, num_bytes):
        write(tmp_path / "a", {"a": place(), "u": place(2.0)})
        blocks = Array.blocks
        monkeypatch.setattr(Array, "blocks", lambda array: blocks(array, num_bytes))
        convert(tmp_path / "a", tmp_path / "o.h5", inputs=["a"], targets=["u"], stride=2)
        with h5py.File(tmp_path / "o.h5") as file:
            np.testing.assert_array_equal(file["a"][()], place()[:, ::2, ::2])
            np.testing.assert_array_equal(file["u"][()], place(2.0)[:, ::2, ::2])

    def test_one_that_does_not_fit_leaves_nothing(self, tmp_path):
        with pytest.raises(ValueError, match=r"stride of 4 .* 5 x 7 nodes .* choose one of 2, say"):
            convert(
                {"a": place(), "u": place()},
                tmp_path / "o.h5",
                inputs=["a"],
                targets=["u"],
                stride=4,
            )
        assert os.listdir(tmp_path) == []
