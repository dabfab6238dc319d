"""Figures of a trajectory evaluation, in 1D, in 2D, on a sphere and after a blow-up."""

import math

import pytest
import torch

from pdeops.batch import Batch
from pdeops.compare.trajectory_plots import draw, film
from pdeops.domain import Grid, Sphere

TIMES = [0.5, 1.0, 1.5]


def report_of(num_shells, **changes):
    spectrum = [[1.0 / (1 + k) ** 2 for k in range(num_shells)]] * 3
    return {
        "metric": "relative_l2", "samples": 4, "times": TIMES, "time_units": "h",
        "error_at_times": [0.1, 0.2, 0.4], "persistence_at_times": [0.5, 0.9, 1.0],
        "correlation_at_times": [0.99, 0.9, 0.7],
        "correlation_time": {k: {"model": 1.0, "censored": 0} for k in ("0.8", "0.95")},
        "blow_up": {"multiple": 10, "samples": []},
        "spectra": {"times": TIMES, "channels": ["u"], "model": [spectrum], "target": [spectrum]},
        **changes,
    }  # fmt: skip


def example(domain, generator):
    target = torch.randn(1, 3, 1, *domain.shape, generator=generator)
    return Batch(input=target[:, :1], target=target), target + 0.1


@pytest.mark.parametrize(
    "domain",
    [Grid((16,), (1.0,), "periodic"), Grid((8, 9), (1.0, 2.0)), Sphere((9, 16))],
    ids=["line", "box", "sphere"],
)
def test_three_figures(domain, generator, tmp_path):
    files = draw(report_of(5), domain, *example(domain, generator), folder=tmp_path, name="FNO")
    assert [f.name for f in files] == ["error_over_time.png", "spectra.png", "film.png"]
    assert all(f.stat().st_size > 8_000 for f in files)


def test_no_film_in_three_dimensions_and_no_spectra_without_waves(generator, tmp_path):
    domain = Grid((4, 4, 4))
    report = report_of(5)
    del report["spectra"]
    files = draw(
        {"trajectory": report}, domain, *example(domain, generator), folder=tmp_path, name="FNO"
    )
    assert [f.name for f in files] == ["error_over_time.png"]


def test_a_blow_up_is_drawn_as_far_as_it_is_finite(generator, tmp_path):
    domain = Grid((16,), (1.0,), "periodic")
    batch, prediction = example(domain, generator)
    prediction[:, 2] = math.nan
    report = report_of(
        5,
        error_at_times=[0.1, 7.0, math.inf],
        blow_up={"multiple": 10, "samples": [{"sample": 0, "step": 3, "time": 1.5}]},
    )
    assert len(draw(report, domain, batch, prediction, folder=tmp_path, name="FNO")) == 3


def test_the_film_shows_the_first_and_the_last_time(generator, monkeypatch, tmp_path):
    """With more frames than columns; the difference has a scale symmetric about zero."""
    from matplotlib.axes import Axes

    shown = []
    monkeypatch.setattr(
        Axes,
        "imshow",
        lambda ax, u, plain=Axes.imshow, **k: shown.append((u, k)) or plain(ax, u, **k),
    )
    domain = Grid((8, 8), boundary="periodic")
    truth = torch.arange(20.0)[:, None, None].expand(20, 8, 8) + torch.rand(8, 8)
    film(
        tmp_path / "a.png",
        [float(i) for i in range(20)],
        truth,
        truth - 2,
        name="FNO",
        domain=domain,
    )
    assert len(shown) == 18
    assert shown[0][0] == pytest.approx(truth[0].numpy().T)
    assert shown[5][0] == pytest.approx(truth[-1].numpy().T)
    assert shown[12][0] == pytest.approx(-2.0)
    assert (shown[12][1]["vmin"], shown[12][1]["vmax"]) == pytest.approx((-2.0, 2.0))
