"""Figures of a trajectory evaluation: error over time, spectra, and a film strip."""
# Axes: t time, x y nodes.

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import Batch
from ..domain import Grid, Sphere
from ..trajectory_metrics import THRESHOLDS
from .field_plots import pixels
from .figures import DIRECT_COLOUR, OPERATOR_COLOURS, new_figure

COLUMNS = 6  # frames in a film strip


def draw(
    report: Mapping[str, Any],
    domain: Any,
    batch: Batch,
    prediction: Float[Tensor, "1 t c *space"],
    *,
    folder: str | Path,
    name: str,
) -> list[Path]:
    """Draw error_over_time.png, spectra.png (where the domain has spectra) and film.png.

    Args:
        report: the report of an evaluation with the measures of `TrajectoryMeasures`, at its top or
            as its entry "trajectory".
        domain: the domain of the fields.
        batch, prediction: one trajectory and its predicted frames; the film shows the first
            channel. Fields on scattered points or in 3D have no film.
        folder: created if it does not exist.
        name: the model's name.
    """
    report, folder = report.get("trajectory", report), Path(folder)
    drawn = [error_over_time(folder / "error_over_time.png", report, name=name)]
    if "spectra" in report:
        drawn.append(spectra(folder / "spectra.png", report, name=name))
    if isinstance(domain, Grid | Sphere) and domain.ndim <= 2:
        pair = batch.target[0, :, 0], prediction[0, :, 0]
        drawn.append(film(folder / "film.png", report["times"], *pair, name=name, domain=domain))
    return drawn


def error_over_time(path: str | Path, report: Mapping[str, Any], *, name: str) -> Path:
    """Error (logarithmic) and correlation over time, for the model and for persistence."""
    times = report["times"]
    with new_figure(path, (9.0, 3.6)) as figure:
        left, right = figure.subplots(1, 2)
        left.set(yscale="log", ylabel=report["metric"].replace("_l", " L").replace("_", " "))
        _line(left, times, report["error_at_times"], color=OPERATOR_COLOURS[0], label=name)
        _line(left, times, report["persistence_at_times"], color=DIRECT_COLOUR, ls="--",
              label="persistence")  # fmt: skip
        right.set(ylabel="correlation with the truth", ylim=(min(0.0, *_finite(
            report["correlation_at_times"])), 1.02))  # fmt: skip
        _line(
            right, [0.0, *times], [1.0, *report["correlation_at_times"]], color=OPERATOR_COLOURS[0]
        )
        for threshold in THRESHOLDS:
            found = report["correlation_time"][f"{threshold:g}"]
            right.axhline(threshold, color="#999999", lw=0.8, ls=(0, (4, 3)), zorder=0)
            bound = "≥ " if found["censored"] else ""
            right.annotate(
                f"{threshold:g}: mean time {bound}{found['model']:.3g}", (times[-1], threshold),
                (0, -3), textcoords="offset points", ha="right", va="top", fontsize=7,
                color="#666666",
            )  # fmt: skip
        for ax in (left, right):
            ax.set_xlabel(_time_label(report))
            ax.grid(which="major", color="#E6E6E6", lw=0.6)
        for step in sorted({s["step"] for s in report["blow_up"]["samples"]}):
            left.axvline(times[step - 1], color=OPERATOR_COLOURS[3], lw=0.8)
        left.legend(fontsize=8)
        left.set_title(f"{name}: mean over {report['samples']} trajectories", loc="left")
    return Path(path)


def spectra(path: str | Path, report: Mapping[str, Any], *, name: str) -> Path:
    """Spectra of the model (solid) and of the data (dashed) at three times, log-log, by channel."""
    found = report["spectra"]
    channels = found["channels"]
    with new_figure(path, (4.6 * len(channels), 3.8)) as figure:
        axes = figure.subplots(1, len(channels), squeeze=False)[0]
        for ax, channel, model, target in zip(
            axes, channels, found["model"], found["target"], strict=True
        ):
            for i, time in enumerate(found["times"]):
                style: dict[str, Any] = {"lw": 1.3}
                colour = OPERATOR_COLOURS[i % len(OPERATOR_COLOURS)]
                shells = list(range(1, len(model[i])))  # the mean has no place on a log axis
                ax.plot(
                    shells, model[i][1:], color=colour, label=f"{name}, t = {time:.3g}", **style
                )
                ax.plot(shells, target[i][1:], color=colour, ls="--", **style)
            ax.plot([], [], color="#666666", ls="--", label="data")
            top = max(v for spectrum in target for v in spectrum[1:])
            ax.set(xscale="log", yscale="log", xlabel="wavenumber", ylabel=f"spectrum of {channel}")
            if top > 0:
                ax.set_ylim(top * 1e-9, top * 10)
            ax.grid(which="major", color="#E6E6E6", lw=0.6)
            ax.legend(fontsize=7)
    return Path(path)


def film(
    path: str | Path,
    times: Sequence[float],
    truth: Float[Tensor, "t *space"],
    prediction: Float[Tensor, "t *space"],
    *,
    name: str,
    domain: Grid | Sphere,
) -> Path:
    """Truth, prediction and difference of one trajectory: in 2D a column for each of some times, in
    1D one picture over x and time.

    Truth and prediction share a colour scale. The difference has a scale of its own, symmetric
    about zero.
    """
    truth, prediction = (u.detach().cpu().double() for u in (truth, prediction))
    rows = {"truth": truth, name: prediction, "difference": prediction - truth}
    scale: dict[str, Any] = {
        "vmin": truth.min().item(),
        "vmax": truth.max().item(),
        "cmap": "viridis",
    }
    sizes = map(abs, _finite(rows["difference"].flatten().tolist()))
    widest = max(sizes, default=0.0) or 1.0
    styles: list[dict[str, Any]] = [
        scale,
        scale,
        {"vmin": -widest, "vmax": widest, "cmap": "RdBu_r"},
    ]
    if truth.ndim == 2:
        return _space_time(path, times, rows, styles, domain)
    chosen = torch.linspace(0, len(times) - 1, min(COLUMNS, len(times))).round().long().tolist()
    height, width = (1.6, 1.6) if isinstance(domain, Grid) else (1.1, 2.0)
    with new_figure(path, (width * len(chosen) + 1.2, height * 3 + 0.4)) as figure:
        axes = figure.subplots(3, len(chosen), squeeze=False)
        for row, (label, u), style in zip(axes, rows.items(), styles, strict=True):
            for ax, i in zip(row, chosen, strict=True):
                image = ax.imshow(
                    pixels(u[i].numpy(), domain), origin="lower", aspect="auto", **style
                )
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
                if label == "truth":
                    ax.set_title(f"t = {times[i]:.3g}", fontsize=8)
            row[0].set_ylabel(label, fontsize=8)
            _colour_bar(figure, image, row)
    return Path(path)


def _space_time(
    path: str | Path,
    times: Sequence[float],
    rows: Mapping[str, Float[Tensor, "t x"]],
    styles: Sequence[Mapping[str, Any]],
    domain: Any,
) -> Path:
    """Three pictures over x and time."""
    x = domain.axis(0).numpy()
    with new_figure(path, (9.6, 3.2)) as figure:
        axes = figure.subplots(1, 3, sharey=True)
        for ax, (label, u), style in zip(axes, rows.items(), styles, strict=True):
            image = ax.pcolormesh(x, times, u.numpy(), shading="nearest", **style)
            ax.set(title=label, xlabel="x")
            _colour_bar(figure, image, ax)
        axes[0].set_ylabel("time")
    return Path(path)


def _colour_bar(figure: Any, image: Any, axes: Any) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    bar.ax.tick_params(labelsize=6, length=2)
    bar.outline.set_visible(False)


def _line(ax: Any, x: Sequence[float], y: Sequence[float], **style: Any) -> None:
    """A line through the finite points, with markers where there are few."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(b)]
    marker = "o" if len(pairs) <= 12 else None
    ax.plot([a for a, _ in pairs], [b for _, b in pairs], lw=1.5, marker=marker, ms=3, **style)


def _finite(values: Sequence[float]) -> list[float]:
    return [v for v in values if math.isfinite(v)]


def _time_label(report: Mapping[str, Any]) -> str:
    unit = report["time_units"]
    return "time after the last given frame" + ("" if unit == "1" else f", {unit}")
