"""Periodic axes: both ends of a period in the file, and fields that are not periodic."""

import h5py
import numpy as np
import pytest

from pdeops.datasets import convert, open_dataset
from pdeops.domain import Grid

from . import foreign_files as files
from . import public_files as public
from .public_files import T, X, Y, wave

AXES = {"axes": "sample,time,x,y", "states": ["u"]}
PERIODIC = {"boundary": "periodic"}


def both_ends(path, **coordinates):
    """u on x_i = i L/(n-1): the last node along both axes is the first."""
    files.hdf5(path, {"u": wave(shape=(X + 1, Y + 1), ends=True), **coordinates})


def test_a_period_stored_with_both_ends_is_read_without_the_last_node(tmp_path):
    both_ends(tmp_path / "d")
    data = open_dataset(tmp_path / "d", grid=PERIODIC, **AXES)
    assert data.domain == Grid((X, Y), boundary="periodic")
    expected = wave(shape=(X + 1, Y + 1), ends=True)[..., :-1, :-1]
    np.testing.assert_array_equal(data.read([2]).target[0, :, 0], expected[2, 1:])
    assert any("last node along x, y repeats the first" in note for note in data.notes)
    convert(tmp_path / "d", tmp_path / "o.h5", grid=PERIODIC, **AXES)
    with h5py.File(tmp_path / "o.h5") as file:
        np.testing.assert_array_equal(file["u"], expected)


def test_the_side_length_is_that_of_the_coordinates(tmp_path):
    """linspace(0, 2, n) is a period of 2, not of 2 n/(n-1); y has the left end only."""
    u = wave(shape=(X + 1, X + 1), ends=True)[..., :-1]
    x, y = np.linspace(0, 2, X + 1), np.arange(X) / X
    files.hdf5(tmp_path / "d", {"u": u, "x": x, "y": y})
    data = open_dataset(tmp_path / "d", grid=PERIODIC, **AXES)
    assert data.domain == Grid((X, X), (2.0, 1.0), "periodic")
    mesh = np.meshgrid(np.linspace(0, 2, X + 1), y, indexing="ij")
    files.hdf5(tmp_path / "e", {"u": u, "x": mesh[0], "y": mesh[1]})
    assert open_dataset(tmp_path / "e", grid=PERIODIC, **AXES).domain == data.domain


def test_a_grid_of_the_caller_keeps_its_nodes_with_a_note(tmp_path):
    both_ends(tmp_path / "d")
    grid = Grid((X + 1, Y + 1), boundary="periodic")
    data = open_dataset(tmp_path / "d", grid=grid, **AXES)
    assert data.domain == grid
    assert any("counts it as a node of its own" in note for note in data.notes)


def test_fields_that_are_equal_at_both_ends_by_chance_keep_their_nodes(tmp_path):
    """Constant along an axis, or equal in one sample only."""
    u = np.repeat(wave()[..., :1], Y, -1)
    u[0, ..., -1, :] = u[0, ..., 0, :]
    files.hdf5(tmp_path / "d", {"u": u})
    data = open_dataset(tmp_path / "d", grid=PERIODIC, **AXES)
    assert data.domain.shape == (X, Y)


@pytest.mark.parametrize("write", [files.hdf5, files.mat73])
def test_fields_that_jump_across_a_periodic_boundary_are_refused(tmp_path, write):
    x = np.linspace(0, 1, 32)[:, None]
    u = (wave(shape=(32, 32)) * 0.01 + 20 * x).astype("f4")
    write(tmp_path / "d", {"u": u})
    message = r"must be periodic along x, and they are not.*jump by [\d.]+ times.*--boundary"
    with pytest.raises(ValueError, match=message):
        open_dataset(tmp_path / "d", grid=PERIODIC, **AXES)
    data = open_dataset(tmp_path / "d", grid={"boundary": ["neumann", "periodic"]}, **AXES)
    assert data.domain.boundary == ("neumann", "periodic")


def test_a_shock_inside_is_no_jump(tmp_path):
    u = np.where(np.arange(64) < 20, 1.0, -1.0) * np.ones((3, T, 1))
    files.hdf5(tmp_path / "d", {"u": u})
    data = open_dataset(tmp_path / "d", grid=PERIODIC, states=["u"], axes="sample,time,x")
    assert data.domain.shape == (64,)


def test_a_format_that_is_periodic_is_checked_too(tmp_path):
    x = np.linspace(0, 1, 40)
    u = np.broadcast_to(x, (3, T, 40)).astype("f4")
    public.flat(tmp_path / "d", {"tensor": u}, {"Nu": 0.01})
    with pytest.raises(ValueError, match="must be periodic along x"):
        open_dataset(tmp_path / "d")
