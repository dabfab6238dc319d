"""Input of a loaded operator in any form: the prediction is that of the same numbers in float64."""

import numpy as np
import pytest
import torch
import xarray
from torch import nn

from pdeops.domain import Grid, Sphere
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer
from pdeops.tasks.fields import fields_of
from pdeops.tasks.rollout import RolloutRun
from pdeops.tasks.supervised import Run

K = np.where(np.random.default_rng(0).random((4, 8, 6)) > 0.5, 12, 3)  # permeability, int64
READ_ONLY = K.astype("f8")
READ_ONLY.flags.writeable = False


class Shear(nn.Module):
    """y = 0.3 x + 0.01 i + 0.1 j at node (i, j): no wrong order or direction of axes can pass."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        i, j = (torch.arange(n, dtype=x.dtype) for n in x.shape[-2:])
        return self.weight * x + 0.01 * i[:, None] + 0.1 * j


def operator():
    return Operator(Shear(), Normalizer.identity(1), Normalizer.identity(1))


@pytest.fixture
def loaded():
    """A run of the task without a folder; only what `__call__` needs."""
    made = Run.__new__(Run)
    parts = {"operator": operator(), "domain": Grid((8, 6)), "in_channels": 1}
    for name, value in {**parts, "n_in": None, "n_out": None}.items():
        object.__setattr__(made, name, value)
    return made


def expected(k):
    i, j = np.arange(8)[:, None], np.arange(6)
    return 0.3 * np.asarray(k, dtype="f8") + 0.01 * i + 0.1 * j


FORMS = {
    "int64": K,
    "int32": K.astype("i4"),
    "uint8": K.astype("u1"),
    "uint16": K.astype("u2"),
    "uint64": K.astype("u8"),
    "float16": K.astype("f2"),
    "float32": K.astype("f4"),
    "long double": K.astype(np.longdouble),
    "big endian": K.astype(">f8"),
    "big endian int": K.astype(">i4"),
    "Fortran": np.asfortranarray(K),
    "read only": READ_ONLY,
    "objects": K.astype(object),
    "list": K.tolist(),
    "masked without mask": np.ma.array(K),
    "broadcast": np.broadcast_to(K[:, :, :1], K.shape),
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_any_type_and_layout(loaded, form):
    y = loaded(FORMS[form])
    assert isinstance(y, np.ndarray)
    assert y.dtype in (np.float32, np.float64)
    np.testing.assert_allclose(y, expected(FORMS[form]), rtol=1e-6)


def test_reversed_strides(loaded):
    np.testing.assert_allclose(loaded(K[:, ::-1, ::-1]), expected(K[:, ::-1, ::-1]), rtol=1e-6)


def test_booleans(loaded):
    y = loaded(K > 5)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected(K > 5), rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        (torch.bool, torch.float32), (torch.uint8, torch.float32), (torch.int64, torch.float32),
        (torch.float16, torch.float32), (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32), (torch.float64, torch.float64),
    ],
)  # fmt: skip
def test_tensors_of_any_type(loaded, dtype, result):
    x = torch.as_tensor(K).to(dtype)
    for given in (x, x.mT.contiguous().mT):
        y = loaded(given)
        assert y.dtype == result
        np.testing.assert_allclose(y, expected(given.double()), rtol=1e-6)


def test_float16_does_not_overflow(loaded):
    """0.3 · 65504 fits, but predictions of other operators may not: they are float32."""
    loaded.operator.model.weight.data.fill_(100.0)
    y = loaded(np.full((1, 8, 6), 60000, "f2"))
    np.testing.assert_allclose(y.mean(), 6e6, rtol=1e-4)


def test_a_tensor_with_gradient_gives_one_without(loaded):
    y = loaded(torch.tensor(K, dtype=torch.float64, requires_grad=True))
    assert not y.requires_grad


class TestDataArrays:
    """Axes by their names, nodes by their coordinates; the prediction has those of the input."""

    X, Y = np.linspace(0, 1, 8), np.linspace(0, 1, 6)

    def array(self, **more):
        coordinates = {"x": self.X, "y": self.Y, "sample": np.arange(4) * 10}
        return xarray.DataArray(K, coordinates, ("sample", "x", "y"), **more)

    def check(self, y, given):
        assert y.dims == given.dims
        for name in ("x", "y", "sample"):
            np.testing.assert_array_equal(y[name], given[name])
        sorted_y = y.transpose("sample", "x", "y").sortby(["x", "y"])
        sorted_k = given.transpose("sample", "x", "y").sortby(["x", "y"])
        np.testing.assert_allclose(sorted_y.values, expected(sorted_k.values), rtol=1e-6)

    def test_in_order(self, loaded):
        self.check(loaded(self.array()), self.array())

    def test_transposed(self, loaded):
        given = self.array().transpose("y", "sample", "x")
        self.check(loaded(given), given)

    def test_from_above(self, loaded):
        given = self.array().isel(x=slice(None, None, -1)).transpose("y", "x", "sample")
        self.check(loaded(given), given)

    def test_one_field(self, loaded):
        given = self.array()[2].T
        y = loaded(given)
        assert y.dims == ("y", "x")
        np.testing.assert_allclose(y.values.T, expected(K)[2], rtol=1e-6)

    def test_names_that_say_nothing_stay_in_their_order(self, loaded):
        y = loaded(xarray.DataArray(K, dims=("p", "q", "r")))
        assert y.dims == ("p", "q", "r")
        np.testing.assert_allclose(y.values, expected(K), rtol=1e-6)

    @pytest.mark.parametrize("upwards", [True, False])
    def test_latitudes_on_a_sphere(self, upwards):
        latitude = np.linspace(-90, 90, 7) if upwards else np.linspace(90, -90, 7)
        values = np.broadcast_to(latitude, (12, 7))
        given = xarray.DataArray(values, {"lat": latitude}, ("lon", "lat"))
        u, restore = fields_of(given, Sphere((7, 12)), torch.float32)
        np.testing.assert_allclose(u[:, 5], np.linspace(90, -90, 7))
        np.testing.assert_array_equal(restore(u).values, values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (K + 1j, "complex numbers"),
        (torch.as_tensor(K) + 1j, "a complex tensor"),
        (torch.as_tensor(K).to_sparse(), "a sparse tensor"),
        (np.array([["a"]]), "text"),
        (np.array(["2020"], dtype="M8[Y]"), "dates or durations"),
        ([[1, 2], [3]], "no array of numbers"),
        (np.array([None, 1]), "Python objects"),
        (np.zeros(3, [("k", "f4")]), "records"),
        (np.ma.masked_equal(K, 3), "masked values"),
        (K[:0], r"one field or more; got none: the input has shape \(0, 8, 6\)"),
        (torch.zeros(0, 1, 8, 6), "one field or more"),
        (xarray.DataArray(K[:, :, :0], dims=("sample", "x", "y")), "one field or more"),
        (np.zeros(8), r"\(8,\)"),
        (3.0, r"got \(\)"),
    ],
)
def test_what_is_no_field_of_real_numbers_is_refused(loaded, given, message):
    with pytest.raises(ValueError, match=message):
        loaded(given)


def test_rollouts_take_the_same_forms():
    made = RolloutRun.__new__(RolloutRun)
    step = Operator(Step(), Normalizer.identity(1), Normalizer.identity(1), n_in=1, n_out=1)
    parts = {"operator": step, "domain": Grid((8, 6)), "in_channels": 1, "n_in": 1, "n_out": 1}
    for name, value in parts.items():
        object.__setattr__(made, name, value)
    frames = K[:, None, None]
    y = made(frames, 3)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[:, :, 0], K[:, None] * 0.5 ** np.arange(1, 4)[:, None, None])
    np.testing.assert_allclose(made(frames.tolist(), 3), y)
    with pytest.raises(ValueError, match="complex"):
        made(frames + 1j, 3)


class Step(nn.Module):
    """u -> u / 2."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return self.factor * x
