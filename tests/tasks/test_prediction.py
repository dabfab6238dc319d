"""Predictions as files: given frames, predicted frames, and inputs that are constant in time."""

from types import SimpleNamespace

import h5py
import numpy as np
import torch

from pdeops.datasets import convert, open_dataset
from pdeops.domain import Grid
from pdeops.tasks import prediction

RUN = SimpleNamespace(
    recipe=SimpleNamespace(name="none", model=SimpleNamespace(name="Persistence")),
    folder=SimpleNamespace(name="folder"),
)


def test_inputs_constant_in_time_are_kept(tmp_path, generator):
    u = torch.randn(3, 5, 8, generator=generator)
    k = torch.rand(3, 8, generator=generator)
    convert(
        {"u": u.numpy(), "k": k.numpy()},
        tmp_path / "a.h5",
        states=["u"],
        inputs=["k"],
        axes={"u": "sample,time,x", "k": "sample,x"},
        grid=Grid((8,), boundary="periodic"),
    )
    data = open_dataset(tmp_path / "a.h5")
    assert (data.in_channels, data.out_channels) == (2, 1)
    pairs = [(batch, 2 * batch.target) for batch in data.batches(2)]
    summary = prediction.write(RUN, data, pairs, tmp_path / "b.h5")
    assert summary["frames"] == 5
    with h5py.File(tmp_path / "b.h5") as written:
        np.testing.assert_array_equal(written["k"][:], k)
        np.testing.assert_array_equal(written["u"][:, 0], u[:, 0])
        np.testing.assert_array_equal(written["u"][:, 1:], 2 * u[:, 1:])
        assert np.isnan(written["residual"][:]).all()
