"""Values that cannot be used (NaN, infinite, missing, too large), by field, sample and count."""

import json
import shutil

import h5py
import numpy as np
import pytest
import xarray

from pdeops.datasets import convert, inspect, open_dataset
from pdeops.datasets.sample_numbers import numbers

from .layouts.foreign_files import npz, place

NAMED = {"inputs": ["a"], "targets": ["u"]}


def spoiled(value, *samples, count=1):
    u = place(shape=(12, 5, 7)).astype("f8")
    for i in samples:
        u[i].flat[:count] = value
    return u


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axes", ["sample,x,y", "x,y,sample"])
def test_values_that_are_not_finite_are_refused_left_out_or_kept(tmp_path, value, axes):
    u = spoiled(value, 1, 5, 6, count=2)
    stored = u if axes.startswith("sample") else np.moveaxis(u, 0, -1)
    npz(tmp_path / "d", {"a": np.ones_like(stored), "u": stored})
    arguments = {**NAMED, "axes": axes}
    message = (
        r"'u' in .* holds 6 values that are not finite.* 3 sample\(s\): 1,5-6\..*--without 1,5"
    )
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "d", tmp_path / "o.h5", **arguments)
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    report = convert(tmp_path / "d", tmp_path / "o.h5", **arguments, without=[1, 5, 6])
    assert report["samples"] == 9
    data = open_dataset(tmp_path / "o.h5")
    rest = np.delete(u, [1, 5, 6], 0).astype("f4")
    np.testing.assert_array_equal(data.read(range(9)).target[:, 0], rest)
    report = convert(tmp_path / "d", tmp_path / "p.h5", **arguments, allow_nan=True)
    assert any("u holds 6 values that are not finite" in note for note in report["notes"])
    with h5py.File(tmp_path / "p.h5") as file:
        np.testing.assert_array_equal(file["u"][()], u)


def test_all_samples_are_not_suggested_to_be_left_out(tmp_path):
    with pytest.raises(ValueError, match="not finite") as raised:
        convert({"a": place(), "u": place() * np.nan}, tmp_path / "o.h5", **NAMED)
    assert "--without" not in str(raised.value)


@pytest.mark.parametrize(
    ("without", "message"),
    [([4], r"0\.\.3; got 4"), ([-1], r"got -1"), ([0, 1, 2, 3], "All 4 samples are left out")],
)
def test_samples_that_are_not_there_are_not_left_out(tmp_path, without, message):
    with pytest.raises(ValueError, match=message):
        convert({"a": place(), "u": place()}, tmp_path / "o.h5", **NAMED, without=without)


def test_values_too_large_for_the_type_are_refused(tmp_path):
    arrays = {"a": place().astype("f8"), "u": place().astype("f8")}
    arrays["u"][2] *= 1e300
    message = (
        r"'u' in .* holds 35 values that are too large for float32 \(up to .*e\+30\d\), .* 2\."
    )
    with pytest.raises(ValueError, match=message):
        convert(arrays, tmp_path / "o.h5", **NAMED, dtype="float32", allow_nan=True)
    assert not list(tmp_path.iterdir())
    assert convert(arrays, tmp_path / "o.h5", **NAMED)["dtype"] == "float64"


def test_values_that_vanish_in_the_type_are_noted(tmp_path):
    arrays = {"a": place().astype("f8"), "u": 1e-60 * place().astype("f8")}
    report = convert(arrays, tmp_path / "o.h5", **NAMED, dtype="float32")
    count = np.count_nonzero(arrays["u"])
    assert f"u: {count} values are so small that they are 0 in float32" in report["notes"]


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_fill_values_of_netcdf_are_missing_values(tmp_path, engine):
    u = spoiled(np.nan, 3)
    data = xarray.Dataset(dict.fromkeys(("a", "u"), (("sample", "x", "y"), u)))
    packed = {"dtype": "i2", "scale_factor": 4.0, "_FillValue": -1}
    data.to_netcdf(tmp_path / "d", engine=engine, encoding={"u": packed, "a": packed})
    with pytest.raises(ValueError, match=r"'a' in .* 1 values that are not finite.*: 3\."):
        convert(tmp_path / "d", tmp_path / "o.h5", **NAMED)
    convert(tmp_path / "d", tmp_path / "o.h5", **NAMED, without=[3])
    read = open_dataset(tmp_path / "o.h5").read(range(11)).target[:, 0].numpy()
    np.testing.assert_allclose(read, np.delete(u, 3, 0), atol=2)  # within half a step of packing


def test_check_names_every_field_and_sample(tmp_path):
    npz(tmp_path / "d", {"a": spoiled(np.nan, 0, 4), "u": spoiled(1e300, 7)})
    message = r"field 'a' in sample\(s\) 0,4; field 'u' in sample\(s\) 7\. .*--without 0,4,7$"
    with pytest.raises(ValueError, match=message):
        open_dataset(tmp_path / "d").check()
    open_dataset(tmp_path / "d").check(())


class TestUnsolvedSamples:
    """A generated file whose residual is NaN for a sample, which was never solved."""

    @pytest.fixture
    def path(self, darcy_file, tmp_path):
        shutil.copy(darcy_file, tmp_path / "d.h5")
        with h5py.File(tmp_path / "d.h5", "r+") as file:
            file["residual"][[2, 3]] = np.nan
        return tmp_path / "d.h5"

    def test_they_are_said(self, path):
        report = inspect(path)
        assert "NaN in 2 of 12 samples, which were not solved" in report["notes"][0]
        assert report["notes"][0].endswith("2-3")
        assert report["train"].startswith("not as it is")
        assert report["largest_residual"] <= 1e-10
        assert open_dataset(path).notes == tuple(report["notes"])

    def test_nothing_is_trained_or_converted_on_them(self, path, tmp_path):
        message = r"residual is NaN in sample\(s\) 2-3"
        with pytest.raises(ValueError, match=message):
            open_dataset(path).check()
        fields = {"inputs": ["permeability"], "targets": ["pressure"]}
        with pytest.raises(ValueError, match=message + r"\. Leave them out: --without 2-3"):
            convert(path, tmp_path / "o.h5", **fields)
        convert(path, tmp_path / "o.h5", **fields, without=[2, 3])
        data = open_dataset(tmp_path / "o.h5")
        data.check()
        assert len(data) == 10

    def test_files_of_other_origin_have_no_residuals(self, tmp_path):
        convert({"a": place(), "u": place()}, tmp_path / "o.h5", **NAMED)
        data = open_dataset(tmp_path / "o.h5")
        data.check()
        assert (data.unsolved(), data.notes) == ([], ())


class TestAdviceToTrain:
    """The last entry of `inspect` is true: the lines work, or it says why none does."""

    def test_lines_of_a_recipe(self, tmp_path):
        import tomllib

        folder = tmp_path / 'a "quoted" folder'
        folder.mkdir()
        convert({"a": place(), "u": place()}, folder / "o.h5", **NAMED)
        table = tomllib.loads(inspect(folder / "o.h5")["train"])["data"]
        assert table == {"train": str(folder / "o.h5"), "validation": 1}

    def test_one_sample_and_spoiled_samples(self, tmp_path):
        npz(tmp_path / "one", {"a": place()[:1], "u": place()[:1]})
        assert inspect(tmp_path / "one")["train"].startswith("not by itself: one sample")
        npz(tmp_path / "nan", {"a": spoiled(np.nan, 3), "u": spoiled(0, 3)})
        report = inspect(tmp_path / "nan")
        assert report["train"].startswith("not as it is")
        assert "'a' in sample(s) 3" in report["train"]
        json.dumps(report)


@pytest.mark.parametrize(
    ("samples", "text"),
    [([], ""), ([3], "3"), ([5, 3, 4], "3-5"), ([0, 2, 3, 9], "0,2-3,9")],
)
def test_numbers_as_text(samples, text):
    assert numbers(samples) == text
    many = range(0, 100, 2)
    assert numbers(many).endswith("... (50 in all)")
    assert numbers(many, shown=None).count(",") == 49
