"""The file layout: what h5py and xarray see, and writing whole fields."""

import json
import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from pdeops.datasets import Darcy, DatasetSpec, Field, open_dataset
from pdeops.datasets.layouts import native_file
from pdeops.domain import Grid


def test_h5py_sees_the_layout(darcy_file):
    with h5py.File(darcy_file) as file:
        assert sorted(file) == ["permeability", "pressure", "residual", "sample", "x", "y"]
        for name in ("permeability", "pressure"):
            variable = file[name]
            assert variable.shape == (12, 17, 17)
            assert variable.dtype == np.float32
            assert variable.chunks is None
            assert [dim[0].name for dim in variable.dims] == ["/sample", "/x", "/y"]
            assert variable.attrs["units"] == "1"
            assert variable.attrs["long_name"]
        assert file["residual"].dtype == np.float64
        assert (file["residual"][()] <= 1e-10).all()
        np.testing.assert_array_equal(file["x"][()], np.linspace(0, 1, 17))
        attributes = dict(file.attrs)
    assert attributes["format"] == "pdeops"
    assert attributes["format_version"] == 2
    assert attributes["seed"] == 1
    assert attributes["solver_tolerance"] == 1e-10
    assert attributes["code_version"].startswith("pdeops")
    assert attributes["licence"]
    assert attributes["source"]
    spec = json.loads(attributes["spec"])
    assert spec["domain"]["shape"] == [17, 17]
    assert spec["parameters"]["low"] == 3.0


def test_xarray_sees_named_dimensions_coordinates_and_units(darcy_file, poisson_file):
    import xarray

    with xarray.open_dataset(darcy_file, engine="h5netcdf") as data:
        assert dict(data.sizes) == {"sample": 12, "x": 17, "y": 17}
        assert data["pressure"].dims == ("sample", "x", "y")
        assert data["residual"].dims == ("sample",)
        assert set(data.coords) == {"sample", "x", "y"}
        assert data["x"].attrs["units"] == "1"
        assert data["pressure"].attrs["units"] == "1"
        centre = data["pressure"].sel(x=0.5, y=0.5, method="nearest").isel(sample=3)
        assert centre.item() == open_dataset(darcy_file)[3].target[0, 8, 8].item()
    with xarray.open_dataset(poisson_file, engine="h5netcdf") as data:
        assert data["source"].dtype == np.float64
        assert data["potential"].shape == (5, 17, 9)
        assert data["y"].values[-1] == 0.5


def test_the_file_needs_no_warning_about_phony_dimensions(darcy_file):
    import h5netcdf

    with h5netcdf.File(darcy_file, "r") as file:
        assert set(file.dimensions) == {"sample", "x", "y"}


def prediction_spec(n=3, shape=(5, 4)):
    return DatasetSpec(
        name="prediction",
        kind="test",
        equation="none",
        fields=(
            Field("a", "input", "first"),
            Field("b", "input", "second"),
            Field("c", "target", "third", "Pa"),
        ),
        domain=Grid(shape),
        parameters={},
        seed=None,
        num_samples=n,
    )


def test_whole_fields_are_written_and_read_back(tmp_path, generator):
    spec = prediction_spec()
    fields = {f.name: torch.randn(3, 5, 4, generator=generator) for f in spec.fields}
    path = native_file.write(tmp_path / "new" / "p.h5", spec, fields)
    dataset = open_dataset(path)
    assert dataset.spec == spec
    assert (dataset.in_channels, dataset.out_channels) == (2, 1)
    batch = dataset.read([2, 0])
    torch.testing.assert_close(
        batch.input, torch.stack([fields["a"], fields["b"]], 1)[[2, 0]], rtol=0, atol=0
    )
    torch.testing.assert_close(batch.target[:, 0], fields["c"][[2, 0]], rtol=0, atol=0)
    with h5py.File(path) as file:
        assert file["c"].attrs["units"] == "Pa"
        assert "seed" not in file.attrs
    with pytest.raises(ValueError, match="exists already"):
        native_file.write(path, spec, fields)
    assert os.listdir(path.parent) == ["p.h5"]


def test_fields_that_are_not_those_of_the_spec_are_refused(tmp_path):
    spec = prediction_spec()
    fields = {f.name: torch.zeros(3, 5, 5) for f in spec.fields}
    with pytest.raises(ValueError, match=r"must be .*\(3, 5, 4\).* got .*\(3, 5, 5\)"):
        native_file.write(tmp_path / "p.h5", spec, fields)
    assert os.listdir(tmp_path) == []


FULL_DISK = """
import os, resource, sys
from pathlib import Path
from pdeops.datasets import Darcy, generate
from pdeops.datasets.layouts import native_file
from pdeops.domain import Grid
folder, grid = Path(sys.argv[1]), Grid((65, 65))
def attempt(limit, write):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write()
    except OSError as error:
        print(error.errno, error, os.listdir(folder))
if __name__ == "__main__":
    for limit in (0, 3000, 60_000, 500_000):  # from nothing at all to just before the end
        attempt(limit, lambda: native_file.create(folder / "a.h5.part", Darcy().spec(grid, 0, 16)))
    for workers in (1, 2):
        attempt(200_000, lambda: generate(Darcy(), grid, num_samples=16, seed=0,
                                          out=folder / "a.h5", workers=workers))
"""


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    """RLIMIT_FSIZE below the file's size: writing beyond it fails as on a full disk."""
    folder, script = tmp_path / "data", tmp_path / "full.py"
    folder.mkdir()
    script.write_text(FULL_DISK)
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    for line in lines:
        assert line.startswith("27 [Errno 27] Cannot write")
        assert "File too large. Free some space" in line
        assert line.endswith("[]")
    assert os.listdir(folder) == []


def test_an_unknown_dtype_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one of float32, float64; got 'float16'"):
        native_file.create(tmp_path / "a.h5", Darcy().spec(Grid((9, 9)), 0, 1), "float16")
    assert os.listdir(tmp_path) == []


def test_the_space_is_taken_when_the_file_is_created(tmp_path):
    """So that a full disk is known before the first solve; sparse files would find out at the
    end."""
    path = tmp_path / "a.h5"
    native_file.create(path, Darcy().spec(Grid((65, 65)), 0, 64))
    assert path.stat().st_blocks * 512 >= 64 * 2 * 65 * 65 * 4
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
