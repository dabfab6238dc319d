"""Arrays in memory in every form that people have."""

import numpy as np
import pytest
import torch
import xarray

from pdeops.datasets import convert, open_dataset
from pdeops.datasets.containers.memory import array_of

from ..layouts.foreign_files import place

U = place()
READ_ONLY = U.copy()
READ_ONLY.flags.writeable = False

FORMS = {
    "list": U.tolist(),
    "tensor with gradient": torch.tensor(U, requires_grad=True),
    "conjugated": torch.complex(torch.tensor(U), torch.tensor(U)).conj().real,
    "bfloat16": torch.tensor(U % 128).bfloat16(),
    "reversed": U[::-1, :, ::-1],
    "big endian": U.astype(">f8"),
    "Fortran": np.asfortranarray(U),
    "read only": READ_ONLY,
    "long double": U.astype(np.longdouble),
    "masked without mask": np.ma.array(U),
    "objects": U.astype(object),
    "DataArray": xarray.DataArray(U, dims=("sample", "x", "y")),
    "uint16": U.astype("u2"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_converted(tmp_path, form):
    given = FORMS[form]
    expected = array_of(given).astype("f8")
    convert({"a": U, "u": given}, tmp_path / "o.h5", inputs=["a"], targets=["u"])
    read = open_dataset(tmp_path / "o.h5", dtype=torch.float64).read(range(4)).target[:, 0]
    np.testing.assert_array_equal(read, expected)
    assert expected.shape == U.shape


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1.0, 2.0], [3.0]], "no array of numbers"),
        (np.array([{1}, "b"], dtype=object), "Python objects, which are no numbers"),
        (U.astype(complex), "complex numbers"),
        (np.array(["a"]), "text"),
        (np.array(["2020"], dtype="M8[Y]"), "dates or durations"),
        (torch.tensor(U).to_sparse(), "a sparse tensor"),
        (np.zeros(4, [("p", "f4")]), "records with the members p"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(tmp_path, given, message):
    with pytest.raises(ValueError, match=f"'u' in these arrays holds {message}"):
        convert({"a": U, "u": given}, tmp_path / "o.h5", inputs=["a"], targets=["u"])
    assert not list(tmp_path.iterdir())


def test_masked_entries_are_missing_values(tmp_path):
    masked = np.ma.masked_equal(U, U[2, 3, 4])
    with pytest.raises(ValueError, match=r"'u' in .* holds 1 values that are not finite.*: 2\."):
        convert({"a": U, "u": masked}, tmp_path / "o.h5", inputs=["a"], targets=["u"])
    integers = np.ma.masked_equal(np.arange(4), 2)
    np.testing.assert_array_equal(array_of(integers), [0, 1, np.nan, 3])


def test_labelled_arrays_bring_axes_coordinates_and_units(tmp_path):
    """Stored as (y, sample, x) with y from above; u has the value of y."""
    y = np.linspace(3, 0, 7)
    u = np.broadcast_to(y[:, None, None], (7, 4, 5))
    data = xarray.Dataset(
        {"a": (("y", "sample", "x"), u), "u": (("y", "sample", "x"), u, {"units": "m/s"})},
        {"y": y, "x": np.linspace(0, 1, 5)},
    )
    report = convert(data, tmp_path / "o.h5", inputs=["a"], targets=["u"])
    assert report["grid"]["extent"] == [1.0, 3.0]
    opened = open_dataset(tmp_path / "o.h5", dtype=torch.float64)
    assert opened.spec.fields[1].units == "m/s"
    np.testing.assert_allclose(opened[1].target[0, 2], np.linspace(0, 3, 7))


def test_different_coordinates_of_one_name_are_refused(tmp_path):
    a, u = (
        xarray.DataArray(U, dims=("sample", "x", "y"), coords={"x": x})
        for x in (np.arange(5.0), np.arange(5.0) + 1)
    )
    with pytest.raises(ValueError, match="different coordinates 'x'"):
        convert({"a": a, "u": u}, tmp_path / "o.h5", inputs=["a"], targets=["u"])
