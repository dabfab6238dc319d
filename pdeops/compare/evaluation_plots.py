"""Figures of an evaluation: spectra, and the coverage of bands."""
# Axes: k shells of waves.

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..estimators.conformal import conformal_quantile
from .figures import DIRECT_COLOUR, OPERATOR_COLOURS, new_figure

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))
HALVES = 100  # random halves of the calibration data
FEWEST = 10  # samples of the first data set: of fewer, a curve is a staircase


@dataclass(frozen=True)
class Spectrum:
    """Mean spectra (k) of truth, prediction and error."""

    label: str
    truth: np.ndarray
    prediction: np.ndarray
    error: np.ndarray

    def rows(self) -> list[dict[str, object]]:
        """One line for each shell."""
        parts = zip(self.truth, self.prediction, self.error, strict=True)
        return [
            {"series": self.label, "k": k, "truth": t, "prediction": p, "error": e}
            for k, (t, p, e) in enumerate(parts)
        ]


@dataclass(frozen=True)
class Coverage:
    """Mean coverage of bands on a data set, for each of LEVELS, with quantiles over the halves."""

    label: str
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def rows(self) -> list[dict[str, object]]:
        """One line for each level."""
        parts = zip(LEVELS, self.mean, self.low, self.high, strict=True)
        return [
            {"series": self.label, "level": l, "coverage": m, "5 %": low, "95 %": high}
            for l, m, low, high in parts
        ]


def coverage_curve(model: str, scores: Mapping[str, np.ndarray]) -> list[Coverage]:
    """Coverage of split-conformal bands from halves of the first data set, on the other half and on
    each other data set; none if the first has fewer than ten samples.

    Args:
        scores: data set -> the score of each sample; a sample is covered if its score is at most
            the quantile of the calibration.
    """
    (first, scores_of_first), *others = scores.items()
    if len(scores_of_first) < FEWEST:
        return []
    generator = np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {first: [], **{name: [] for name, _ in others}}
    for _ in range(HALVES):
        order = generator.permutation(len(scores_of_first))
        half, rest = np.split(scores_of_first[order], [len(order) // 2])
        widths = [conformal_quantile(torch.from_numpy(half), l).item() for l in LEVELS]
        for name, values in ((first, rest), *others):
            found[name].append([float((values <= w).mean()) for w in widths])
    return [
        Coverage(f"{model} on {name}", each.mean(0), *np.quantile(each, [0.05, 0.95], axis=0))
        for name, each in ((name, np.array(v)) for name, v in found.items())
    ]


def spectra(path: str | Path, found: Sequence[Spectrum]) -> Path:
    """Spectra of truth (grey), prediction (solid) and error (dashed), logarithmic."""
    with new_figure(path, (8.4, 3.8)) as figure:
        ax = figure.add_subplot()
        for spectrum, colour in zip(found, _colours(), strict=False):
            k = np.arange(len(spectrum.truth))
            styles: list[tuple[np.ndarray, dict[str, Any]]] = [
                (spectrum.truth, {"color": DIRECT_COLOUR, "lw": 2.4, "alpha": 0.5}),
                (spectrum.prediction, {"color": colour, "lw": 1.2, "label": spectrum.label}),
                (spectrum.error, {"color": colour, "lw": 1.0, "ls": "--"}),
            ]
            for values, style in styles:
                shown = (k > 0) & (values > 0)
                ax.plot(k[shown], values[shown], **style)
        ax.set(xscale="log", yscale="log", xlabel="|k|", ylabel="half the mean square in a shell")
        ax.set_title("Spectra of truth (grey), prediction (solid), error (dashed)", loc="left")
        ax.grid(which="major", color="#EBEBEB", lw=0.5)
        figure.legend(loc="outside right upper", fontsize=7)
    return Path(path)


def calibration(path: str | Path, curves: Sequence[Coverage]) -> Path:
    """Coverage over nominal level, with the range of 90 % of the halves; the diagonal is ideal."""
    with new_figure(path, (4.6, 4.2)) as figure:
        ax = figure.add_subplot()
        ax.plot([0, 1], [0, 1], color=DIRECT_COLOUR, lw=1.0, ls=":", label="nominal")
        for curve, colour in zip(curves, _colours(), strict=False):
            ax.fill_between(LEVELS, curve.low, curve.high, color=colour, alpha=0.15, lw=0)
            ax.plot(LEVELS, curve.mean, color=colour, marker="o", ms=3, lw=1.2, label=curve.label)
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal level", ylabel="coverage")
        ax.set_title("Coverage of conformal bands", loc="left")
        ax.grid(color="#EBEBEB", lw=0.5)
        ax.legend(fontsize=7)
    return Path(path)


def _colours() -> Iterator[str]:
    while True:
        yield from OPERATOR_COLOURS
