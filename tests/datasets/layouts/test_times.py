"""Times of the frames of foreign files: found, counted, or refused."""

import numpy as np
import pytest

from pdeops.datasets import convert, open_dataset

from . import foreign_files as files
from .foreign_files import place

AXES = "sample,time,x"
U = place(shape=(3, 4, 5))


def opened(path, arrays, states=("u",), **more):
    files.hdf5(path, arrays)
    return open_dataset(path, states=list(states), axes=AXES, **more)


@pytest.mark.parametrize("name", ["time", "t", "t-coordinate", "tspan"])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1)])
def test_an_array_of_times_is_found(tmp_path, name, shape):
    times = np.array([0.0, 0.25, 0.75, 1.0])
    data = opened(tmp_path / "a", {"u": U, name: times.reshape(shape)})
    assert data.times == tuple(times)
    assert not any("counted" in note for note in data.notes)


def test_pdebench_has_one_time_too_many(tmp_path):
    data = opened(tmp_path / "a", {"u": U, "t-coordinate": np.arange(5) / 2})
    assert data.times == (0.0, 0.5, 1.0, 1.5)
    assert "t-coordinate has one time more than there are frames: the last is left out" in (
        data.notes
    )


def test_without_times_frames_are_counted_with_a_note(tmp_path):
    data = opened(tmp_path / "a", {"u": U, "t": np.array([[1.0]])})  # a final time
    assert data.times == (0.0, 1.0, 2.0, 3.0)
    assert any("counted from 0 to 3" in note for note in data.notes)
    arrays = {"a": U[:, 0], "u": U}
    report = convert(
        arrays,
        tmp_path / "o.h5",
        inputs=["a"],
        targets=["u"],
        axes={"a": "sample,x", "u": AXES},
    )
    assert report["times"] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("number", [3, 6, 9])
def test_times_of_another_number_than_the_frames_are_refused_or_given(tmp_path, number):
    message = rf"u has 4 frames, and t \({number},\) in .* has {number} times.*--times 0:1"
    with pytest.raises(ValueError, match=message):
        opened(tmp_path / "a", {"u": U, "t": np.arange(float(number))})
    data = opened(tmp_path / "b", {"u": U, "t": np.arange(float(number))}, times=(0, 2, 3, 5))
    assert data.times == (0, 2, 3, 5)
    with pytest.raises(ValueError, match="u has 4 frames; got 2 times"):
        opened(tmp_path / "c", {"u": U}, times=(0, 1))


def test_rows_of_times_are_read_if_they_are_equal(tmp_path):
    rows = np.tile([0, 0.5, 1, 4.0], (3, 1))
    assert opened(tmp_path / "a", {"u": U, "t": rows}).times == (0, 0.5, 1, 4)
    rows[1, 2] = 2
    with pytest.raises(ValueError, match="differ between samples"):
        opened(tmp_path / "b", {"u": U, "t": rows})


def test_a_temperature_is_no_list_of_times(tmp_path):
    data = opened(tmp_path / "a", {"u": U, "T": U})
    assert data.times == (0, 1, 2, 3)


def test_times_that_do_not_increase_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must increase; got 0\.5 and then 0\.25"):
        opened(tmp_path / "a", {"u": U, "t": np.array([0, 0.5, 0.25, 1])})


def test_times_that_differ_between_fields_are_refused(tmp_path):
    message = r"times that differ between fields: u has 4 frames.*; v has 3 frames"
    with pytest.raises(ValueError, match=message):
        opened(tmp_path / "a", {"u": U, "v": U[:, :3]}, ("u", "v"))
    import xarray

    fields = {
        "u": (("sample", "time", "x"), U),
        "v": (("sample", "t", "x"), U),
    }
    coordinates = {"time": np.arange(4.0), "t": np.arange(4.0) / 2}
    xarray.Dataset(fields, coordinates).to_netcdf(tmp_path / "b", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"u has 4 frames from 0 to 3; v has 4 frames from 0 to 1"):
        open_dataset(tmp_path / "b", states=["u", "v"])


def test_fields_of_one_role_have_time_or_none_has(tmp_path):
    files.hdf5(tmp_path / "a", {"a": U[:, 0], "u": U, "v": U[:, 1]})
    with pytest.raises(ValueError, match=r"All targets have the axis time, or none has"):
        open_dataset(
            tmp_path / "a",
            inputs=["a"],
            targets=["u", "v"],
            axes={"a": "sample,x", "u": AXES, "v": "sample,x"},
        )


def test_inputs_and_targets_may_both_have_time(tmp_path):
    files.hdf5(tmp_path / "a", {"f": U, "u": -U, "t": np.arange(4.0)})
    data = open_dataset(tmp_path / "a", inputs=["f"], targets=["u"], axes=AXES)
    assert (data.n_in, data.n_out, data.window) == (4, 4, None)
    batch = data.read([2])
    assert batch.times.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3]]
    np.testing.assert_array_equal(batch.input[0, :, 0], U[2])
    np.testing.assert_array_equal(batch.target[0, :, 0], -U[2])
