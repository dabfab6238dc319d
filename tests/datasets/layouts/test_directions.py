"""Coordinates of the nodes: values stay with them, and what is not uniform is said."""

import h5py
import numpy as np
import pytest
import scipy.io
import torch
import xarray

from pdeops.datasets import convert, open_dataset
from pdeops.datasets.containers.store import Array
from pdeops.domain import Grid, Sphere

from . import foreign_files as files
from .foreign_files import npz, place

NAMED = {"inputs": ["a"], "targets": ["u"]}
X, Y = np.linspace(2, 0, 9), np.linspace(0, 1, 13)  # x descends


def field(x=X, y=Y):
    """u = 1 + 10 x + y, for samples 0, 1, 2 with factors 1, 2, 3."""
    return np.arange(1, 4)[:, None, None] * (1 + 10 * x[:, None] + y)


def write_netcdf(path):
    fields = {n: (("sample", "x", "y"), field()) for n in ("a", "u")}
    xarray.Dataset(fields, {"x": X, "y": Y}).to_netcdf(path, engine="h5netcdf")


def write_transposed(path):
    fields = {n: (("y", "x", "sample"), field().T) for n in ("a", "u")}
    xarray.Dataset(fields, {"x": X, "y": Y}).to_netcdf(path, engine="scipy")


def write_chunks(path):
    files.hdf5_chunked(path, {"a": field(), "u": field()})
    with h5py.File(path, "r+") as file:
        file["x"], file["y"] = X, Y


def write_mat(path):
    scipy.io.savemat(path, {"a": field(), "u": field(), "lat": X, "lon": Y})


def write_mesh(path):
    x, y = np.meshgrid(X, Y, indexing="ij")
    npz(path, {"a": field(), "u": field(), "x": x, "y": y})


WRITERS = [write_netcdf, write_transposed, write_chunks, write_mat, write_mesh]


@pytest.mark.parametrize("write", WRITERS)
def test_values_stay_with_descending_coordinates(tmp_path, write):
    path = tmp_path / "d"
    write(path)
    data = open_dataset(path, **NAMED, dtype=torch.float64)
    assert data.domain.extent == (2.0, 1.0)
    assert any("descends in the file, from 2 to 0" in note for note in data.notes)
    expected = field(x=X[::-1])
    np.testing.assert_allclose(data.read([2, 0]).target[:, 0], expected[[2, 0]], rtol=1e-14)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("num_bytes", [60, 10**6])
def test_so_they_do_in_the_converted_file(tmp_path, write, stride, num_bytes, monkeypatch):
    """In blocks of any size; the values of the file are those of its coordinates."""
    write(tmp_path / "d")
    blocks = Array.blocks
    monkeypatch.setattr(Array, "blocks", lambda array: blocks(array, num_bytes))
    convert(tmp_path / "d", tmp_path / "o.h5", **NAMED, stride=stride, without=[1])
    with h5py.File(tmp_path / "o.h5") as file:
        x, y = file["x"][()], file["y"][()]
        assert (len(x), len(y)) == (8 // stride + 1, 12 // stride + 1)
        np.testing.assert_allclose(file["u"][()], field(x, y)[[0, 2]], rtol=1e-12)


def test_frames_of_trajectories_are_flipped_too(tmp_path):
    w = np.stack([field(), 5 * field()], 1)
    with h5py.File(tmp_path / "d", "w") as file:
        file["w"], file["x"], file["t"] = w, X, [0.0, 1.0]
    data = open_dataset(tmp_path / "d", states=["w"], axes="sample,time,x,y", dtype=torch.float64)
    np.testing.assert_array_equal(data[1].target[0, 0], 5 * field()[1, ::-1])


def test_fields_with_axes_of_their_own_meet_at_the_same_nodes(tmp_path):
    """a on descending latitudes, u on ascending ones."""
    fields = {"a": (("sample", "lat", "y"), field()), "u": (("sample", "x", "y"), field(X[::-1]))}
    coordinates = {"lat": X, "x": X[::-1], "y": Y}
    xarray.Dataset(fields, coordinates).to_netcdf(tmp_path / "d", engine="h5netcdf")
    batch = open_dataset(tmp_path / "d", **NAMED).read([0, 2])
    np.testing.assert_array_equal(batch.input, batch.target)
    coordinates["lat"] = X + 1
    xarray.Dataset(fields, coordinates).to_netcdf(tmp_path / "e", engine="h5netcdf")
    with pytest.raises(ValueError, match="a and u lie on different nodes: lat from 1 to 3, x from"):
        open_dataset(tmp_path / "e", **NAMED)


def test_a_grid_of_the_callers_does_not_mirror_the_values(tmp_path):
    write_netcdf(tmp_path / "d")
    data = open_dataset(tmp_path / "d", **NAMED, grid=Grid((9, 13)), dtype=torch.float64)
    np.testing.assert_allclose(data[0].target[0], field(X[::-1])[0])


@pytest.mark.parametrize("upwards", [False, True])
def test_latitudes_of_a_sphere_run_from_north_to_south(tmp_path, upwards):
    latitude = np.linspace(-90, 90, 9) if upwards else np.linspace(90, -90, 9)
    u = np.broadcast_to(latitude[:, None], (2, 9, 16))
    fields = dict.fromkeys(("a", "u"), (("time", "lat", "lon"), u))
    coordinates = {"lat": latitude, "lon": np.arange(16) * 22.5}
    xarray.Dataset(fields, coordinates).to_netcdf(tmp_path / "d", engine="h5netcdf")
    convert(tmp_path / "d", tmp_path / "o.h5", **NAMED, grid=Sphere((9, 16)))
    with h5py.File(tmp_path / "o.h5") as file:
        np.testing.assert_allclose(file["u"][1, :, 3], file["latitude"][()], atol=1e-12)


def nodes(x):
    fields = {n: (("sample", "x"), np.ones((3, len(x)))) for n in ("a", "u")}
    return xarray.Dataset(fields, {"x": x})


@pytest.mark.parametrize(
    "x",
    [
        np.linspace(0, 1, 33) ** 1.05,
        np.cumsum(1.005 ** np.arange(200)),  # each step within 1 % of the last
        np.cos(np.linspace(0, np.pi, 17)),
        np.array([0.0, 1, 3, 2, 4]),
        np.array([0.0, 1, np.nan, 3, 4]),
        np.zeros(5),
    ],
)
def test_nodes_that_are_not_uniform_are_refused_or_placed_by_the_caller(tmp_path, x):
    nodes(x).to_netcdf(tmp_path / "d", engine="scipy")
    with pytest.raises(ValueError, match=r"are not uniform.*--extent and --placement"):
        open_dataset(tmp_path / "d", **NAMED)
    given = {"extent": 1.0, "placement": "endpoints"}
    data = open_dataset(tmp_path / "d", **NAMED, grid=given)
    assert "x is not uniform in the file; the fields are read on the given grid" in data.notes


@pytest.mark.parametrize("size", [17, 8193])
def test_round_off_of_float32_is_uniform(tmp_path, size):
    x = (np.arange(size, dtype="f4") / np.float32(size - 1)).astype("f4")
    nodes(x).to_netcdf(tmp_path / "d", engine="scipy")
    data = open_dataset(tmp_path / "d", **NAMED)
    assert data.domain.extent == (1.0,)
    assert not any("uniform" in note for note in data.notes)


def test_rounded_decimals_are_noted(tmp_path):
    nodes(np.round(np.linspace(0, 1, 28), 4)).to_netcdf(tmp_path / "d", engine="scipy")
    notes = open_dataset(tmp_path / "d", **NAMED).notes
    assert not any("uniform" in note for note in notes)  # 0.1 % of the spacing
    nodes(np.round(np.linspace(0, 1, 14), 3)).to_netcdf(tmp_path / "e", engine="scipy")
    notes = open_dataset(tmp_path / "e", **NAMED).notes
    assert "x is uniform up to 0.6 % of its spacing; read as uniform" in notes


def test_curvilinear_coordinates_are_not_made_straight(tmp_path):
    x, y = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 7), indexing="ij")
    npz(tmp_path / "d", {"a": place(), "u": place(), "x": x + 0.1 * y, "y": y})
    with pytest.raises(ValueError, match=r"x of .* change along several axes"):
        open_dataset(tmp_path / "d", **NAMED)


def test_coordinates_in_the_file_come_before_what_a_pair_of_names_suggests(tmp_path):
    npz(tmp_path / "d", {"a": place(), "u": place(), "x": np.arange(5) * 2.0, "y": np.arange(7.0)})
    data = open_dataset(tmp_path / "d")
    assert data.domain.boundary == ("periodic", "periodic")
    assert data.domain.extent == (10.0, 7.0)
    assert any("coordinates as in the file" in note for note in data.notes)
