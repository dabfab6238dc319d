"""The file layout: what h5py and xarray see, and writing whole fields."""

import json
import os
import resource

import h5py
import numpy as np
import pytest
import torch

from pdeops.datasets import (
    Darcy,
    DatasetSpec,
    Field,
    convert,
    generate,
    inspect,
    open_dataset,
)
from pdeops.datasets.layouts import native_file
from pdeops.datasets.layouts.variables import with_shared_points
from pdeops.domain import Grid, Points


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


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, full_disk, workers):
    def create():
        native_file.create(tmp_path / "a.h5.part", Darcy().spec(grid, 0, 16))

    def fill():
        generate(Darcy(), grid, num_samples=16, seed=0, out=tmp_path / "a.h5", workers=workers)

    grid = Grid((65, 65))
    generate(Darcy(), grid, num_samples=1, seed=0, out=tmp_path / "b.h5")  # compiles its loops
    os.remove(tmp_path / "b.h5")
    limits = (0, 3000, 60_000, 500_000)  # from nothing at all to just before the end
    for limit, write in [*((limit, create) for limit in limits), (200_000, fill)]:
        message = "^.Errno 27. Cannot write.*File too large. Free some space"
        with full_disk(limit), pytest.raises(OSError, match=message):
            write()
        assert os.listdir(tmp_path) == []


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


class TestVectorFieldsAndTime:
    """Axes time and channel, as h5py, xarray and `inspect` see them."""

    @pytest.fixture
    def file(self, tmp_path, generator):
        spec = DatasetSpec(
            "flow",
            "test",
            "none",
            (
                Field("velocity", "state", "velocity", "m/s", ("u", "v")),
                Field("height", "state", "height", "m"),
                Field("force", "input", "force", "N", ("u", "v")),
            ),
            Grid((5, 4)),
            {},
            None,
            3,
            times=(0.0, 0.5),
            time_units="s",
        )
        fields = {f.name: torch.randn(spec.shape(f), generator=generator) for f in spec.fields}
        return native_file.write(tmp_path / "flow.h5", spec, fields), spec, fields

    def test_xarray_names_them(self, file):
        import xarray

        path, _, fields = file
        with xarray.open_dataset(path, engine="h5netcdf", decode_times=False) as data:
            assert data["velocity"].dims == ("sample", "time", "channel", "x", "y")
            assert data["height"].dims == ("sample", "time", "x", "y")
            assert data["force"].dims == ("sample", "channel", "x", "y")
            assert data["time"].values.tolist() == [0.0, 0.5]
            assert data["time"].attrs["units"] == "s"
            assert data["channel"].values.tolist() == ["u", "v"]
            v = data["velocity"].sel(channel="v", time=0.5)
            np.testing.assert_array_equal(v, fields["velocity"][:, 1, 1])

    def test_netcdf_sees_no_phony_dimensions(self, file):
        import h5netcdf

        with h5netcdf.File(file[0], "r") as data:
            assert set(data.dimensions) == {"sample", "time", "channel", "x", "y"}

    def test_inspect_shows_them_per_channel(self, file):
        path, _, fields = file
        report = inspect(path)
        rows = report["fields"]
        assert list(rows) == ["velocity_u", "velocity_v", "height", "force_u", "force_v"]
        assert rows["velocity_v"]["axes"] == "sample,time,channel,x,y"
        assert rows["velocity_v"]["shape"] == [3, 2, 2, 5, 4]
        assert rows["velocity_v"]["min"] == fields["velocity"][:, :, 1].min().item()
        assert rows["force_u"]["role"] == "input"
        assert report["times"] == "2 from 0 to 0.5 s"
        assert report["samples"] == 3

    def test_what_was_written_is_read(self, file):
        path, spec, fields = file
        data = open_dataset(path)
        assert data.spec == spec
        batch = data.read([2, 0])
        assert torch.equal(batch.input[:, 0, :2], fields["velocity"][[2, 0], 0])
        assert torch.equal(batch.input[:, 0, 3:], fields["force"][[2, 0]])
        assert torch.equal(batch.target[:, 0, 2], fields["height"][[2, 0], 1])

    def test_different_components_have_different_dimensions(self, tmp_path, generator):
        import xarray

        fields = (
            Field("a", "input", "a", channels=("p", "q", "r")),
            Field("b", "target", "b", channels=("u", "v")),
        )
        spec = DatasetSpec("n", "k", "e", fields, Grid((5, 4)), {}, None, 3)
        values = {f.name: torch.randn(spec.shape(f), generator=generator) for f in fields}
        path = native_file.write(tmp_path / "a.h5", spec, values)
        batch = open_dataset(path).read([1])
        assert torch.equal(batch.input[0], values["a"][1])
        assert torch.equal(batch.target[0], values["b"][1])
        with xarray.open_dataset(path, engine="h5netcdf") as data:
            assert data["a"].dims == ("sample", "a_channel", "x", "y")
            assert data["b"]["b_channel"].values.tolist() == ["u", "v"]

    @pytest.mark.parametrize("name", ["time", "channel", "x", "residual", "latitude"])
    def test_a_field_cannot_have_the_name_of_a_coordinate(self, tmp_path, name):
        fields = (Field(name, "input", "a"), Field("b", "target", "b"))
        spec = DatasetSpec("n", "k", "e", fields, Grid((5, 4)), {}, None, 3)
        with pytest.raises(ValueError, match=f"Call it 'input_{name}'"):
            native_file.create(tmp_path / "a.h5", spec)
        assert os.listdir(tmp_path) == []


def write_version_1(path, fields, grid):
    """A file as pdeops wrote it in version 1: name -> (role, times, values); a trajectory without
    its first frame, and the grid without a kind."""
    spec = {
        "name": "burgers",
        "kind": "gaussian",
        "equation": "u_t + u u_x = viscosity u_xx, periodic",
        "fields": [
            {"name": name, "role": role, "description": name, "units": "1"}
            | ({"times": times} if times else {})
            for name, (role, times, _) in fields.items()
        ],
        "grid": {key: value for key, value in grid.to_dict().items() if key != "kind"},
        "parameters": {},
        "seed": 3,
        "num_samples": 2,
        "tolerance": 1e-2,
        "isometric": False,
        "source": "generated by pdeops",
        "licence": "CC0-1.0",
    }
    with h5py.File(path, "w") as file:
        file.attrs.update(
            format="pdeops", format_version=1, code_version="pdeops 0.1", spec=json.dumps(spec)
        )
        for name, (*_, values) in fields.items():
            file[name] = values
        file["residual"] = np.zeros(2)
    return path


class TestVersion1:
    grid = Grid((8,), boundary="periodic")

    def test_trajectories_are_refused_with_both_versions_and_what_to_do(self, tmp_path):
        fields = {
            "initial_u": ("input", [], np.zeros((2, 8), "f4")),
            "u": ("target", [0.5, 1.0], np.zeros((2, 2, 8), "f4")),
        }
        path = write_version_1(tmp_path / "a.h5", fields, self.grid)
        message = (
            r"version 1, .* trajectory \(u\) .* version 2\. Generate or convert the file again"
        )
        for read in (open_dataset, inspect):
            with pytest.raises(ValueError, match=message):
                read(path)
        with pytest.raises(ValueError, match=message):
            convert(path, tmp_path / "b.h5", inputs=["initial_u"], targets=["u"])

    def test_steady_fields_are_read(self, tmp_path):
        a, b = np.random.default_rng(0).standard_normal((2, 2, 8)).astype("f4")
        fields = {"a": ("input", [], a), "b": ("target", [], b)}
        data = open_dataset(write_version_1(tmp_path / "a.h5", fields, self.grid))
        assert (data.domain, data.spec.seed) == (self.grid, 3)
        np.testing.assert_array_equal(data.read([1, 0]).target[:, 0], b[[1, 0]])

    def test_an_unfinished_file_is_not_gone_on_with(self, tmp_path):
        fields = {"a": ("input", [], np.zeros((2, 8), "f4"))}
        part = write_version_1(tmp_path / "a.h5.part", fields, self.grid)
        with pytest.raises(ValueError, match="format_version: 2 here, 1 there"):
            generate(Darcy(), Grid((9, 9)), num_samples=2, seed=0, out=tmp_path / "a.h5")
        assert part.exists()


def spec_edited(path, **changed):
    """The spec that stands in a file, with other entries."""
    with h5py.File(path, "r+") as file:
        file.attrs["spec"] = json.dumps(json.loads(file.attrs["spec"]) | changed)


@pytest.fixture
def trajectory_file(tmp_path):
    spec = DatasetSpec(
        name="own",
        kind="own",
        equation="",
        fields=(Field("u", "state", "u"),),
        domain=Grid((8,), boundary="periodic"),
        parameters={},
        seed=None,
        num_samples=2,
        times=(0.0, 0.5, 1.0),
    )
    return native_file.write(tmp_path / "u.h5", spec, {"u": torch.ones(2, 3, 8)})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"times": [0.0, 0.5, float("inf")]}, "finite numbers; got inf"),
        ({"times": [0.0, 1.0, 0.5]}, "must increase"),
        ({"times": [0.0, 1.0, 2.0]}, r"variable time is \[0.0, 0.5, 1.0\]"),
        ({"domain": 5}, "spec"),
    ],
)
def test_an_edited_spec_is_refused_with_the_name_of_the_file(trajectory_file, changed, words):
    spec_edited(trajectory_file, **changed)
    with pytest.raises(ValueError, match=rf"u\.h5.*{words}"):
        open_dataset(trajectory_file)


@pytest.mark.parametrize("text", [None, "{no json", "[1]"])
def test_a_file_without_a_readable_spec_is_refused(trajectory_file, text):
    with h5py.File(trajectory_file, "r+") as file:
        del file.attrs["spec"]
        if text is not None:
            file.attrs["spec"] = text
    with pytest.raises(ValueError, match=r"u\.h5"):
        open_dataset(trajectory_file)


def test_points_that_all_samples_share_are_variables(tmp_path, generator):
    """An attribute holds 64 KB at most, 1500 points in the plane as text."""
    n = 3000
    positions = torch.rand(2, n, generator=generator, dtype=torch.float64)
    known = {
        "weights": torch.full((n,), 1 / n, dtype=torch.float64),
        "cells": torch.tensor([[0, 1, 2], [1, 2, n - 1]]),
    }
    domain = Points(2, positions, box=[[0, 0], [1, 1]], **known)
    fields = (Field("u", "input", "u"), Field("v", "target", "v"))
    spec = DatasetSpec("p", "k", "none", fields, domain, {}, None, 2, float("inf"))
    values = {name: torch.rand(2, n, generator=generator) for name in "uv"}
    file = native_file.write(tmp_path / "a.h5", spec, values)
    with h5py.File(file) as stored:
        assert np.array_equal(stored["positions"][()].T, positions)
        assert stored["cells"].dims[1][0].name == "/corner"
        assert json.loads(stored.attrs["spec"])["domain"]["positions"] == "positions"
    data = open_dataset(file)
    assert data.spec == spec
    assert torch.equal(data[1].input[0], values["u"][1])
    assert data.points(1).cells.tolist() == known["cells"].tolist()
    as_text = json.loads(spec.to_json())  # earlier files
    assert with_shared_points(as_text, np.zeros)["domain"] == domain.to_dict()
