"""Errors of single samples: where they lie in the file, and what the intervals and bands cover."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import h5py
import numpy as np
import pytest
import torch
import xarray

from pdeops.compare import evaluation_plots
from pdeops.compare.evaluation_plots import LEVELS, Coverage, Spectrum, coverage_curve
from pdeops.compare.evidence import SpectrumMean
from pdeops.compare.sample_errors import (
    DIMENSIONS,
    SampleErrors,
    mean_interval,
    sample_errors,
    times_of,
    to_csv,
    to_netcdf,
)
from pdeops.compare.tables import read_csv
from pdeops.datasets import FieldDataset, open_dataset
from pdeops.domain import Grid


def errors(model, name, resolution, values, times=(0.0,), seed=0):
    return SampleErrors(model, name, resolution, seed, times, {"relative_l2": np.array(values)})


FOUND = [
    errors("A", "test", "9x9", [[0.1], [0.2], [0.6]]),
    errors("A", "fine", "17x17", [[0.3], [0.4]]),
    errors("B", "test", "9x9", [[1.0, 2.0], [3.0, 4.0]], times=(0.5, 1.0), seed=7),
]


def test_xarray_and_h5py_read_the_same_numbers(tmp_path):
    file = to_netcdf(FOUND, tmp_path / "errors.nc")
    with xarray.open_dataset(file, engine="h5netcdf") as data:
        u = data["relative_l2"].load()
    assert u.dims == DIMENSIONS
    assert dict(u.sizes) == {
        "model": 2, "dataset": 2, "resolution": 2, "seed": 2, "sample": 3, "time": 3,
    }  # fmt: skip
    of_a = u.sel(model="A", dataset="test", resolution="9x9", seed=0, time=0.0)
    assert of_a.values.tolist() == [0.1, 0.2, 0.6]
    of_b = u.sel(model="B", dataset="test", resolution="9x9", seed=7, sample=1)
    assert of_b.sel(time=[0.5, 1.0]).values.tolist() == [3.0, 4.0]
    assert int(u.notnull().sum()) == 3 + 2 + 4
    assert "‖p - t‖" in u.attrs["long_name"]
    with h5py.File(file) as raw:
        np.testing.assert_array_equal(raw["relative_l2"][:], u.values)
        assert [raw["relative_l2"].dims[i][0].name for i in range(6)] == [
            f"/{d}" for d in DIMENSIONS
        ]


def test_lines_of_the_table_are_those_of_the_file(tmp_path):
    (first, _, last) = read_csv(to_csv(FOUND, tmp_path / "errors.csv"))
    assert float(first["mean"]) == pytest.approx(0.3)
    assert float(first["median"]) == 0.2
    assert first["largest (sample)"] == "0.6 (2)"
    assert float(last["mean"]) == 2.5
    assert last["largest (sample)"] == "3.5 (1)"  # the mean over the times of each sample


def test_the_interval_of_many_samples_is_that_of_the_central_limit_theorem():
    """mean ± 1.96 s/√n; the quantiles of 2000 resamples have a standard error of 0.06 s/√n."""
    values = np.random.default_rng(3).exponential(size=1000)
    standard_error = values.std() / np.sqrt(len(values))
    low, high = (np.array(mean_interval(values)) - values.mean()) / standard_error
    assert (low, high) == pytest.approx((-1.96, 1.96), abs=0.15)
    assert mean_interval(np.ones(1)) == (-np.inf, np.inf)
    assert mean_interval(np.full(9, 2.0)) == (2.0, 2.0)


def test_errors_of_known_predictions(tmp_path):
    """A prediction 10 % too large in sample 0 and 30 % in sample 1."""
    u = torch.rand(2, 9, 9, generator=torch.Generator().manual_seed(0)) + 1
    np.savez(tmp_path / "pairs.npz", a=u, u=u)
    dataset = open_dataset(tmp_path / "pairs.npz")
    seen = []
    found = sample_errors(
        "net",
        SimpleNamespace(recipe=SimpleNamespace(seed=5)),
        "test",
        dataset,
        lambda i: u[i, None] * (1.1, 1.3)[i],
        further=lambda p, t: seen.append((p, t)),
    )
    assert (found.resolution, found.seed, found.times) == ("9x9", 5, (0.0,))
    np.testing.assert_allclose(found.metrics["relative_l2"], [[0.1], [0.3]], rtol=1e-5)
    np.testing.assert_allclose(found.metrics["relative_h1"], [[0.1], [0.3]], rtol=1e-5)
    for (p, t), factor in zip(seen, (1.1, 1.3), strict=True):
        torch.testing.assert_close(p, factor * t)


def test_times_are_counted_from_the_last_given_frame():
    batch = SimpleNamespace(times=torch.tensor([[0.5, 1.0, 1.5, 2.5]]))
    for n_out, expected in ((2, (0.5, 1.5)), (4, (0.5, 1.0, 1.5, 2.5)), (None, (0.0,))):
        dataset = MagicMock(spec=FieldDataset, n_out=n_out)
        dataset.read.return_value = batch
        assert times_of(dataset) == expected


@pytest.mark.parametrize("n_out", [None, 3])
def test_spectra_are_means_over_the_samples_at_the_last_time(n_out):
    """cos 2x has half the mean square 1/4 in shell 2; the second of two samples is zero."""
    domain = Grid((8,), 2 * torch.pi, boundary="periodic")
    wave = (2 * domain.nodes()[0]).cos().expand(1, 8)
    frames = wave if n_out is None else torch.stack([7 * wave, 5 * wave, wave])
    dataset = MagicMock(spec=FieldDataset, domain=domain, n_out=n_out)
    dataset.__len__.return_value = 2
    mean = SpectrumMean(dataset)
    mean.add(0.5 * frames, frames)
    mean.add(0 * frames, 0 * frames)
    found = mean.compute("net")
    for values, amplitude in ((found.truth, 1.0), (found.prediction, 0.5), (found.error, 0.5)):
        expected = np.zeros(len(values))
        expected[2] = 0.5 * 0.25 * amplitude**2
        np.testing.assert_allclose(values, expected, atol=1e-12)
    assert SpectrumMean(dataset).compute("net") is None


def test_bands_cover_at_their_level_but_not_after_a_shift():
    """Exchangeable scores are covered with probability k/(n + 1), k = ⌈(n + 1) level⌉; scores twice
    as large are covered less."""
    generator = np.random.default_rng(0)
    scores = generator.exponential(size=200)
    same, shifted = coverage_curve(
        "net", {"test": scores, "fine": 2 * generator.permutation(scores)}
    )
    expected = [np.ceil(101 * level) / 101 for level in LEVELS]
    np.testing.assert_allclose(same.mean, expected, atol=0.02)
    assert (same.low <= same.mean).all()
    assert (same.mean <= same.high).all()
    assert (shifted.mean[5:15] < np.array(LEVELS)[5:15] - 0.05).all()
    assert coverage_curve("net", {"test": scores[:9]}) == []
    assert same.rows()[0].keys() == {"series", "level", "coverage", "5 %", "95 %"}


def test_pictures_of_spectra_and_coverage(tmp_path):
    k = np.arange(1.0, 9.0)
    evaluation_plots.spectra(tmp_path / "s.png", [Spectrum("net", k**-3, k**-2.5, 1e-3 / k)])
    half = np.array(LEVELS)
    curve = Coverage("net", half, half - 0.05, half + 0.05)
    evaluation_plots.calibration(tmp_path / "c.png", [curve])
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("s.png", "c.png"))
    rows = Spectrum("net", k**-3, k**-2.5, 1e-3 / k).rows()
    assert rows[1] == {
        "series": "net",
        "k": 1,
        "truth": 0.125,
        "prediction": 2**-2.5,
        "error": 5e-4,
    }
