"""Formats of other projects: one contract for all, then what is peculiar to each."""

import pickle

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pdeops.batch import Batch
from pdeops.datasets import convert, inspect, open_dataset
from pdeops.domain import Grid

from . import foreign_files as files
from .foreign_files import SHAPE, WRITERS, place


@pytest.fixture(params=WRITERS)
def foreign(request, tmp_path):
    """A file of each kind with an extension that says nothing, and the kind's name."""
    write, name = WRITERS[request.param]
    path = tmp_path / "own.data"
    write(path, {"k": place(), "p": place(-2.0)})
    return path, name


class TestEveryFormat:
    def open(self, path, **more):
        return open_dataset(path, inputs=["k"], targets=["p"], **more)

    def test_is_known_by_its_content(self, foreign):
        path, name = foreign
        report = inspect(path)
        assert (report["container"], report["format"]) == (name, "named arrays")
        for field, scale in (("k", 1.0), ("p", -2.0)):
            row = report["fields"][field]
            assert row["shape"] == list(SHAPE)
            assert np.dtype(row["dtype"]).itemsize == 4
            assert row["layout"]
            values = place(scale).astype("f8")
            assert (row["min"], row["max"], row["not_finite"]) == (values.min(), values.max(), 0)
            assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert "pdeops data convert" in report["train"]

    def test_axes_are_in_the_order_that_the_writer_meant(self, foreign):
        data = self.open(foreign[0])
        assert len(data) == SHAPE[0]
        assert data.domain.shape == SHAPE[1:]
        for indices in ([2, 0], [1, 1, 3], [0, 1, 2], []):
            batch = data.read(indices)
            for u, scale in ((batch.input, 1.0), (batch.target, -2.0)):
                np.testing.assert_array_equal(u[:, 0].numpy(), place(scale)[indices])
                assert u.is_contiguous()
        data.read([1]).input.zero_()  # what is read is free to change
        np.testing.assert_array_equal(data[1].input[0].numpy(), place()[1])

    def test_axes_that_are_said_are_taken(self, foreign):
        data = self.open(foreign[0], axes="x,sample,y")
        assert len(data) == SHAPE[1]
        assert data.domain.shape == (SHAPE[0], SHAPE[2])
        np.testing.assert_array_equal(data.read([4, 2]).input[:, 0], place().swapaxes(0, 1)[[4, 2]])
        data = self.open(foreign[0], axes={"k": "y,x,sample", "p": ("y", "x", "sample")})
        assert (len(data), data.domain.shape) == (SHAPE[2], (SHAPE[1], SHAPE[0]))
        np.testing.assert_array_equal(data.read([6, 1]).target[:, 0], place(-2.0).T[[6, 1]])

    def test_a_copy_by_pickle_opens_the_file_anew(self, foreign):
        data = self.open(foreign[0])
        data.read([0])
        copy = pickle.loads(pickle.dumps(data))
        assert copy.source.store._handle is None
        np.testing.assert_array_equal(copy.read([3]).target[0, 0], place(-2.0)[3])

    @pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
    def test_workers_read_the_same(self, foreign, context):
        data = self.open(foreign[0])
        data.read([0])
        loader = DataLoader(
            data,
            batch_size=3,
            num_workers=2,
            multiprocessing_context=context,
            collate_fn=Batch.collate,
        )
        batches = list(loader)
        np.testing.assert_array_equal(torch.cat([b.input for b in batches])[:, 0], place())
        np.testing.assert_array_equal(data.read([2]).input[0, 0], place()[2])

    def test_conversion_keeps_every_bit(self, foreign, tmp_path):
        report = convert(foreign[0], tmp_path / "own.h5", inputs=["k"], targets=["p"])
        assert (report["samples"], report["dtype"]) == (SHAPE[0], "float32")
        with h5py.File(tmp_path / "own.h5") as file:
            for field, scale in (("k", 1.0), ("p", -2.0)):
                assert file[field].chunks is None
                np.testing.assert_array_equal(file[field][()], place(scale))
        data = open_dataset(tmp_path / "own.h5")
        np.testing.assert_array_equal(data.read(range(4)).target[:, 0], place(-2.0))

    def test_a_wrong_name_is_answered_with_the_nearest(self, foreign):
        with pytest.raises(ValueError, match=r"no array 'kk' in .*own\.data\. Did you mean 'k'\?"):
            open_dataset(foreign[0], inputs=["kk"], targets=["p"])

    def test_half_a_file_is_damaged(self, foreign, tmp_path):
        path, _ = foreign
        if path.is_dir():
            path = path / "p.npy"
        whole = path.read_bytes()
        path.write_bytes(whole[: int(0.7 * len(whole))])
        with pytest.raises(ValueError, match="damaged"):
            self.open(foreign[0]).read([3])


class TestKnownNames:
    """Files whose names leave no doubt open by themselves; the others say what to do."""

    @pytest.mark.parametrize(
        ("names", "grid"),
        [
            (("coeff", "sol"), Grid(SHAPE[1:])),
            (("a", "u"), Grid(SHAPE[1:], boundary="periodic")),
            (("nu", "tensor"), Grid(SHAPE[1:], placement="centers")),
            (("input", "output"), Grid(SHAPE[1:])),
        ],
    )
    @pytest.mark.parametrize("write", [files.mat73, files.npz, files.hdf5])
    def test_pair(self, tmp_path, names, grid, write):
        write(tmp_path / "a", {names[0]: place(), names[1]: place(3.0), "Kcoeff": place(9.0)})
        data = open_dataset(tmp_path / "a")
        assert (data.inputs, data.targets, data.domain) == ((names[0],), (names[1],), grid)
        assert data.notes
        np.testing.assert_array_equal(data.read([3]).target[0, 0], place(3.0)[3])
        given = Grid(SHAPE[1:], extent=2.0)
        assert open_dataset(tmp_path / "a", grid=given).domain == given
        assert inspect(tmp_path / "a")["train"].startswith("[data]\ntrain = ")

    def test_a_boundary_of_the_callers_brings_its_placement(self, tmp_path):
        files.npz(tmp_path / "a", {"coeff": place(), "sol": place()})
        grid = open_dataset(tmp_path / "a", grid={"boundary": "periodic"}).domain
        assert grid == Grid(SHAPE[1:], boundary="periodic")

    def test_other_names_and_two_pairs_are_not_guessed(self, tmp_path):
        files.npz(tmp_path / "a", {"k": place(), "p": place()})
        with pytest.raises(
            ValueError, match=r"k \(4, 5, 7\) float32, p .* not clear.*data convert"
        ):
            open_dataset(tmp_path / "a")
        files.npz(tmp_path / "b", {n: place() for n in ("a", "u", "x", "y")})
        with pytest.raises(ValueError, match="not clear"):
            open_dataset(tmp_path / "b")

    def test_a_trajectory_is_not_taken_for_a_field(self, tmp_path):
        """Other names do not say which axis is that of times."""
        u = place(shape=(*SHAPE, 3))
        files.mat73(tmp_path / "a", {"x": place(), "y": u})
        with pytest.raises(ValueError, match=r"axes of 'y' \(4, 5, 7, 3\) are not clear"):
            open_dataset(tmp_path / "a")
        data = open_dataset(
            tmp_path / "a", inputs=["x"], targets=["y"], axes={"y": "sample,x,y,channel"}
        )
        assert data.targets == ("y_0", "y_1", "y_2")
        np.testing.assert_array_equal(data[2].target.numpy(), np.moveaxis(u, -1, 1)[2])

    def test_an_axis_of_length_one_is_a_channel(self, tmp_path):
        """PDEBench's Darcy: tensor (sample, 1, x, y)."""
        files.hdf5(tmp_path / "a", {"nu": place(), "tensor": place(2.0)[:, None]})
        data = open_dataset(tmp_path / "a")
        assert data.targets == ("tensor",)
        np.testing.assert_array_equal(data[2].target[0], place(2.0)[2])

    def test_one_and_three_dimensions(self, tmp_path):
        line, box = place(shape=(4, 6)), place(shape=(2, 3, 4, 5))
        files.npz(tmp_path / "line", {"a": line, "u": line})
        assert open_dataset(tmp_path / "line").domain == Grid((6,), boundary="periodic")
        files.npz(tmp_path / "box", {"a": box, "u": -box})
        with pytest.raises(ValueError, match="not clear"):
            open_dataset(tmp_path / "box")
        data = open_dataset(tmp_path / "box", inputs=["a"], targets=["u"], axes="sample,x,y,z")
        assert data.domain.shape == (3, 4, 5)
        np.testing.assert_array_equal(data.read([1]).target[0, 0], -box[1])

    def test_real_files_of_one_trajectory_list_what_they_hold(self, shared_data):
        folder = shared_data / "reference"
        for name, message in (
            ("Allen_Cahn_periodic.mat", r"tt \(1, 201\) float64, uu \(512, 201\)"),
            ("Allen_Cahn_dirichlet.mat", r"u \(101, 201\) float64"),
            ("Burgers.npz", r"usol \(256, 100\) float64"),
        ):
            with pytest.raises(ValueError, match=f"{message}.*pdeops data convert"):
                open_dataset(folder / name)
        with pytest.raises(ValueError, match=r"arr_0 \(10201, 3\).*no two arrays here fit"):
            open_dataset(folder / "stokes.npz")
        report = inspect(folder / "Allen_Cahn_periodic.mat")
        assert report["fields"]["uu"]["shape"] == [512, 201]


def test_torch_files_of_other_names_bfloat16_and_sparse(tmp_path):
    u = torch.from_numpy(place(shape=(3, 4)))
    content = {"a": u.bfloat16(), "u": u.double(), "s": u.to_sparse()}
    torch.save(content, tmp_path / "a")
    data = open_dataset(tmp_path / "a")
    assert data.domain == Grid((4,), boundary="periodic")
    np.testing.assert_array_equal(data.read([2]).input[0, 0], u.bfloat16().float()[2])
    with pytest.raises(ValueError, match=r"'s' in .* holds a sparse tensor; make it dense"):
        open_dataset(tmp_path / "a", inputs=["s"], targets=["u"])


@pytest.mark.parametrize("write", ["npz", "npz_compressed", "hdf5", "mat5", "npy_folder"])
def test_inspect_takes_numbers_text_and_empty_arrays_as_they_are(tmp_path, write):
    arrays = {"visc": np.float64(0.5), "empty": np.zeros((0, 3)), "u": place()}
    if write != "hdf5":
        arrays["words"] = np.array(["a", "b"])
    WRITERS[write][0](tmp_path / "a", {k: np.asarray(u) for k, u in arrays.items()})
    report = inspect(tmp_path / "a")
    assert report["fields"]["visc"]["mean"] == 0.5
    assert report["fields"]["u"]["max"] == place().max()
    assert report["fields"]["empty"]["min"] is None
    assert set(report["not_read"]) == {"words"} & set(arrays)
    with pytest.raises(ValueError, match=r"'empty' is empty: its shape is \(0, 3\)"):
        open_dataset(tmp_path / "a", inputs=["empty"], targets=["u"], axes={"empty": "sample,x"})


def test_mixed_precision_is_converted_with_a_note(tmp_path):
    files.mat73(tmp_path / "a", {"coeff": place(dtype="f4"), "sol": place(1 / 3, dtype="f8")})
    data = open_dataset(tmp_path / "a", dtype=torch.float64)
    assert any("coeff float32, sol float64" in note for note in data.notes)
    batch = data.read([1])
    assert batch.input.dtype == batch.target.dtype == torch.float64
    np.testing.assert_array_equal(batch.target[0, 0], place(1 / 3, dtype="f8")[1])


def test_a_73_file_without_its_text_is_known_by_the_class_attribute(tmp_path):
    files.mat73(tmp_path / "a", {"coeff": place(), "sol": place()})
    with h5py.File(tmp_path / "a") as source, h5py.File(tmp_path / "b", "w") as copy:
        for name in source:
            source.copy(name, copy)
    assert inspect(tmp_path / "b")["container"] == "MATLAB"
    np.testing.assert_array_equal(open_dataset(tmp_path / "b").read([2]).input[0, 0], place()[2])
