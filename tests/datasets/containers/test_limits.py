"""Rare cases of netCDF and MATLAB files: limits of valid values, cells."""

import h5py
import numpy as np
import pytest
import scipy.io
import xarray

from pdeops.datasets import inspect, open_dataset

STORED = np.arange(24, dtype="i2").reshape(2, 3, 4)
NAMED = {"inputs": ["a"], "targets": ["a2"]}


def write(path, engine, attributes, packing=None):
    fields = {
        "a": (("sample", "x", "y"), STORED, {**attributes, **(packing or {})}),
        "a2": (("sample", "x", "y"), STORED.astype("f4")),
    }
    xarray.Dataset(fields).to_netcdf(path, engine=engine)


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
@pytest.mark.parametrize(
    ("attributes", "low", "high"),
    [
        ({"valid_range": np.array([3, 20], "i2")}, 3, 20),
        ({"valid_min": np.int16(3)}, 3, 99),
        ({"valid_max": np.int16(20)}, -99, 20),
    ],
)
def test_values_outside_the_valid_range_are_missing(tmp_path, engine, attributes, low, high):
    for name, packing in (("a", None), ("b", {"scale_factor": 0.5, "add_offset": 1.0})):
        write(tmp_path / name, engine, attributes, packing)
        got = open_dataset(tmp_path / name, **NAMED).read([0, 1]).input[:, 0].numpy()
        values = STORED * 0.5 + 1 if packing else STORED
        expected = np.where((low <= STORED) & (high >= STORED), values, np.nan)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_limits_of_a_wider_type_are_those_of_unpacked_values(tmp_path, engine):
    packing = {"scale_factor": 0.5, "add_offset": 0.0}
    write(tmp_path / "a", engine, {"valid_range": np.array([1.0, 10.0])}, packing)
    got = open_dataset(tmp_path / "a", **NAMED).read([0, 1]).input[:, 0].numpy()
    u = STORED * 0.5
    np.testing.assert_array_equal(got, np.where((u >= 1) & (u <= 10), u, np.nan))


def test_the_remedy_for_a_cell_array(tmp_path):
    cell = np.empty((1, 2), dtype=object)
    cell[0, 0] = cell[0, 1] = np.zeros((3, 4))
    scipy.io.savemat(tmp_path / "a", {"c": cell, "u": np.zeros((2, 3, 4))})
    reason = inspect(tmp_path / "a")["not_read"]["c"]
    assert "put those of one shape into one array" in reason


def test_the_remedy_for_a_cell_array_of_version_73(tmp_path):
    """As MATLAB writes it: references to the contents, which are in a group called #refs#."""
    with h5py.File(tmp_path / "a", "w") as file:
        file["#refs#/a"] = np.zeros((3, 4))
        file["c"] = np.array([[file["#refs#/a"].ref]], dtype=h5py.ref_dtype)
        file["c"].attrs["MATLAB_class"] = np.bytes_("cell")
    report = inspect(tmp_path / "a")
    assert "put those of one shape into one array" in report["not_read"]["c"]
    assert report["fields"] == {}
