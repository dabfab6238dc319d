"""Axes by their names in the file, in any order, and by coordinates if there are no names."""

from itertools import permutations

import numpy as np
import pytest
import scipy.io
import torch
import xarray

from pdeops.datasets import convert, open_dataset
from pdeops.datasets.layouts.axis_names import axes_of
from pdeops.datasets.layouts.chosen import LEADING, SPACE

from .foreign_files import npz, place

KNOWN = (*LEADING, *SPACE)
NAMED = {"inputs": ["a"], "targets": ["u"]}


@pytest.mark.parametrize(
    ("dims", "axes"),
    [
        (("lon", "lat", "time"), ("y", "x", "time")),
        (("latitude", "time", "longitude", "member"), ("x", "time", "y", "sample")),
        (("level", "lat", "lon"), ("z", "x", "y")),
        (("lat", "plev"), ("x", "y")),
        (("nx", "ny", "batch"), ("x", "y", "sample")),
        (("N", "Lat", "LON"), ("sample", "x", "y")),
        (("level", "y", "x"), ("z", "y", "x")),
    ],
)
def test_names_determine_axes(dims, axes):
    assert axes_of(dims, KNOWN) == (axes, {})


@pytest.mark.parametrize("dims", [("x", "x", "y"), ("a", "b", "d", "e", "f"), ("time", "t", "x")])
def test_names_that_do_not_determine_them(dims):
    assert axes_of(dims, KNOWN) is None


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_order_in_the_file_does_not_matter(tmp_path, order):
    """u[member, time, lat, lon] stored in each of the 24 orders; a without time in another one."""
    dims, u = ("member", "time", "lat", "lon"), place(shape=(2, 3, 4, 5))
    coordinates = {"time": np.arange(3) / 2, "lat": np.linspace(0, 30, 4), "lon": np.arange(5.0)}
    first = u[:, 0]
    stored = {"u": ([dims[i] for i in order], u.transpose(order))}
    stored["a"] = (("lon", "member", "lat"), first.transpose(2, 0, 1))
    xarray.Dataset(stored, coordinates).to_netcdf(tmp_path / "d", engine="h5netcdf")
    data = open_dataset(tmp_path / "d", **NAMED, dtype=torch.float64)
    assert data.times == (0, 0.5, 1)
    assert data.domain.extent == (30, 4)
    batch = data.read([1, 0])
    np.testing.assert_array_equal(batch.target[:, :, 0], u[[1, 0]])
    np.testing.assert_array_equal(batch.input[:, 0], first[[1, 0]])


def test_times_are_samples_if_there_are_no_others(tmp_path):
    """a (time, lat, lon) and u (lon, lat, time), as reanalyses store them."""
    u = place(shape=(5, 4, 6))
    fields = {"a": (("time", "lat", "lon"), u), "u": (("lon", "lat", "time"), -u.T)}
    xarray.Dataset(fields).to_netcdf(tmp_path / "d", engine="scipy")
    data = open_dataset(tmp_path / "d", **NAMED)
    assert (len(data), data.times, data.n_in) == (5, (), None)
    assert any("the axis of times is read as that of samples" in note for note in data.notes)
    np.testing.assert_array_equal(data.read([3]).target[0, 0], -u[3])


def test_an_evolution_from_one_field_is_one_sample_with_times(tmp_path):
    u = place(shape=(5, 4, 6))
    fields = {"a": (("x", "y"), u[0]), "u": (("time", "x", "y"), u)}
    xarray.Dataset(fields).to_netcdf(tmp_path / "d", engine="h5netcdf")
    data = open_dataset(tmp_path / "d", **NAMED)
    assert (len(data), data.n_in, data.n_out) == (1, None, 5)
    np.testing.assert_array_equal(data[0].target[:, 0], u)


@pytest.mark.parametrize("chunks", [None, (2, 3)])
def test_one_trajectory_without_an_axis_of_samples(tmp_path, chunks):
    import h5py

    u, t = place(shape=(6, 9)), np.linspace(0, 2, 9)
    with h5py.File(tmp_path / "d", "w") as file:
        file.create_dataset("u", data=u, chunks=chunks)
        file["t"], file["x"] = t, np.linspace(0, 1, 6)
    report = convert(tmp_path / "d", tmp_path / "o.h5", states=["u"], axes="x,time")
    assert (report["samples"], report["times"]) == (1, t.tolist())
    assert any("read as one sample" in note for note in report["notes"])
    for path, named in (("d", {"states": ["u"], "axes": "x,time"}), ("o.h5", {})):
        data = open_dataset(tmp_path / path, **named)
        np.testing.assert_array_equal(data[0].input[0, 0], u[:, 0])
        np.testing.assert_array_equal(data.read([0, 0]).target[1, :, 0], u[:, 1:].T)


class TestCoordinatesTellXFromY:
    """Arrays without names of axes: (sample, y, x) if the coordinates say so."""

    U = place(shape=(3, 4, 6))

    def check(self, path, arrays):
        npz(path, {"a": self.U, "u": -self.U, **arrays})
        data = open_dataset(path, **NAMED)
        assert data.domain.shape == (6, 4)
        assert data.domain.extent == (5.0, 3.0)
        assert "axes of u: sample, y, x, as the coordinates in the file tell" in data.notes
        np.testing.assert_array_equal(data.read([2]).target[0, 0], -self.U[2].T)

    def test_vectors(self, tmp_path):
        self.check(tmp_path / "d", {"x": np.arange(6.0), "y": np.arange(4.0)})

    def test_meshgrids_of_numpy_and_matlab(self, tmp_path):
        x, y = np.meshgrid(np.arange(6.0), np.arange(4.0))
        self.check(tmp_path / "d", {"X": x, "Y": y})

    def test_meshgrids_on_a_square(self, tmp_path):
        """Lengths tell nothing there, values do."""
        u = place(shape=(3, 5, 5))
        x, y = np.meshgrid(np.arange(5.0), np.linspace(0, 1, 5))
        npz(tmp_path / "d", {"a": u, "u": u, "x": x, "y": y})
        data = open_dataset(tmp_path / "d", **NAMED)
        assert data.domain.extent == (4.0, 1.0)
        np.testing.assert_array_equal(data[1].target[0], u[1].T)

    def test_those_of_ij_order_change_nothing(self, tmp_path):
        x, y = np.meshgrid(np.arange(4.0), np.arange(6.0), indexing="ij")
        scipy.io.savemat(tmp_path / "d", {"a": self.U, "u": self.U, "x": x, "y": y})
        data = open_dataset(tmp_path / "d", **NAMED)
        assert data.domain.extent == (3.0, 5.0)
        np.testing.assert_array_equal(data[1].target[0], self.U[1])

    def test_axes_that_contradict_them_are_refused(self, tmp_path):
        x, y = np.meshgrid(np.arange(6.0), np.arange(4.0))
        npz(tmp_path / "d", {"a": self.U, "u": self.U, "x": x, "y": y})
        with pytest.raises(ValueError, match=r"x of .* change along the axis y"):
            open_dataset(tmp_path / "d", **NAMED, axes="sample,x,y")


class TestCoordinatesAreNoFields:
    """x and y: the names of a known pair, and of coordinates."""

    @pytest.mark.parametrize("form", ["meshgrid", "row", "vector"])
    def test_they_are_not_taken_for_input_and_target(self, tmp_path, form):
        x, y = np.linspace(0, 1, 6), np.linspace(0, 1, 4)
        if form == "meshgrid":
            x, y = np.meshgrid(x, y)
        if form == "row":
            x, y = x[None], y[None]
        arrays = {"x": x, "y": y, "u": np.ones((4, 6))}
        for only in (arrays, {"x": x, "y": y}):
            npz(tmp_path / "d", only)
            with pytest.raises(ValueError, match="which of them are input and target is not clear"):
                open_dataset(tmp_path / "d")
        torch.save({n: torch.as_tensor(v) for n, v in arrays.items()}, tmp_path / "d.pt")
        with pytest.raises(ValueError, match="is not clear"):
            open_dataset(tmp_path / "d.pt")

    def test_with_two_fields_the_message_names_them(self, tmp_path):
        x, y = np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 4))
        arrays = {"x": x, "y": y, "k": place(shape=(3, 4, 6)), "p": place(shape=(3, 4, 6))}
        npz(tmp_path / "d", arrays)
        with pytest.raises(ValueError, match=r"no fields: x, y\. .*--input k --target p"):
            open_dataset(tmp_path / "d")

    def test_as_fields_they_are_read_unless_another_is_beside_them(self, tmp_path):
        npz(tmp_path / "d", {"x": place(), "y": place(2.0)})
        data = open_dataset(tmp_path / "d")
        assert (data.inputs, data.targets) == (("x",), ("y",))
        npz(tmp_path / "e", {"x": place(), "y": place(2.0), "u": place()})
        with pytest.raises(ValueError, match="not clear"):
            open_dataset(tmp_path / "e")
