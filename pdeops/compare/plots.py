"""The figures of a report: error over seconds and training curves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .comparison import Comparison
from .duel import Row
from .figures import (
    CLASSICAL_COLOURS,
    CLASSICAL_MARKERS,
    DIRECT_COLOUR,
    DIRECT_MARKERS,
    OPERATOR_COLOURS,
    OPERATOR_MARKERS,
)
from .figures import new_figure as _figure
from .fronts import front
from .labels import Label, place_labels
from .tables import grid_name, percent, read_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 3  # rows of a kind from which its frontier is drawn


def error_time(comparison: Comparison, path: str | Path) -> Path:
    """Relative error over seconds per solve, logarithmic; lower left is better. Returns the path.

    A classical method has a colour, a tolerance a marker, and both together a line over the grids.
    Each operator and grid has a series of points over its batch sizes, and each surrogate without a
    network a series of crosses. Horizontal bars are the quartiles of the seconds. The step lines
    are the Pareto fronts of the classical solvers and of the operators; a note takes the place of
    the classical one if there are fewer than three classical rows.
    """
    with _figure(path, (7.6, 5.0)) as figure:
        ax = figure.add_subplot()
        ax.set(xscale="log", yscale="log")
        ax.set(xlim=log_limits([r.seconds for r in comparison.rows]))
        ax.set(ylim=log_limits([r.error for r in comparison.rows]))
        classical = [r for r in comparison.rows if r.kind == "classical"]
        if not note_few(ax, classical):
            _frontier(ax, classical, "#B8CBDD", "classical frontier")
        operators = [r for r in comparison.rows if r.kind == "operator"]
        if len(operators) >= FEW:
            _frontier(ax, operators, "#F3D9C6", "frontier of the operators")
        labels = _classical_lines(ax, comparison)
        _surrogate_points(ax, comparison)
        labels = [*_operator_points(ax, comparison), *labels]
        labels = labels if len({label.text for label in labels}) > 1 else []  # one grid
        texts = [*ax.texts]
        if comparison.floor is not None:
            texts.append(_floor(ax, comparison, comparison.floor.error))
        ax.set_xlabel("seconds per solve (median and quartiles), s")
        ax.set_ylabel(f"relative L2 error against {grid_name(comparison.reference)}")
        ax.set_title(
            f"{comparison.problem}: operators and classical solvers on the same "
            f"{comparison.num_samples} problems",
            loc="left",
        )
        ax.grid(which="major", color="#E6E6E6", lw=0.6)
        ax.set_axisbelow(True)
        figure.legend(loc="outside right upper", fontsize=7.5)
        place_labels(ax, labels, texts)
    return Path(path)


def _floor(ax: "Axes", comparison: Comparison, error: float) -> Any:
    """The line of the discretisation error of the test grid; returns its text."""
    ax.axhline(error, color="#999999", lw=0.8, ls=(0, (4, 3)), zorder=0)
    return ax.annotate(
        f"discretisation error of {grid_name(comparison.grid)}: {percent(error)}",
        xy=(1, error),
        xycoords=("axes fraction", "data"),
        xytext=(0, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=7,
        color="#666666",
    )


def quartiles(ax: "Axes", rows: Sequence[Row], colour: str, measure: str = "error") -> None:
    """Horizontal bars between the quartiles of the seconds of rows."""
    low, high = [r.seconds_low for r in rows], [r.seconds_high for r in rows]
    ax.hlines([getattr(r, measure) for r in rows], low, high, colors=colour, lw=2.2, alpha=0.45)


def log_limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits of a logarithmic axis around the positive, finite values: a decade or more, so that
    one or two values leave ticks to be read."""
    found = [v for v in values if math.isfinite(v) and v > 0] or [1.0]
    low, high = min(found) / 1.8, max(found) * 1.8
    widen = max(1.0, math.sqrt(10 * low / high))
    return low / widen, high * widen


def note_few(ax: "Axes", rows: Sequence[Row]) -> bool:
    """Whether there are fewer than three classical rows; then the axes get a note: two points make
    no frontier."""
    if len(rows) >= FEW:
        return False
    count = {0: "no classical run", 1: "one classical run"}.get(len(rows), "two classical runs")
    text = f"{count}: points, no lines"
    ax.annotate(text, (0.02, 0.02), xycoords="axes fraction", fontsize=7, color="#666666")
    return True


def _frontier(ax: "Axes", rows: Sequence[Row], colour: str, label: str) -> None:
    """The smallest error within given seconds, as a step line."""
    best = front(rows)
    if not best:
        return
    x, y = [r.seconds for r in best], [r.error for r in best]
    x, y = [x[0], *x, 1e6 * x[-1]], [1e6 * y[0], *y, y[-1]]
    ax.step(x, y, where="post", color=colour, lw=5, solid_joinstyle="round", zorder=1)
    ax.plot([], [], color=colour, lw=5, label=label)


def _surrogate_points(ax: "Axes", comparison: Comparison) -> None:
    """The rows without a network: a series over batch sizes for each surrogate."""
    rows = [r for r in comparison.rows if r.kind == "reduced"]
    for i, name in enumerate(dict.fromkeys(r.method for r in rows)):
        series, style = [r for r in rows if r.method == name], surrogate_style(i)
        quartiles(ax, series, style["color"])
        ax.plot(
            [r.seconds for r in series],
            [r.error for r in series],
            label=f"{name}, without a network",
            zorder=4,
            **style,
        )


def surrogate_style(i: int) -> dict[str, Any]:
    """The style of the series of the i-th surrogate without a network."""
    marker = ("P", "X", "*", "p")[i % 4]
    return {"marker": marker, "color": "#5B4B8A", "lw": 0.8, "ls": ":", "ms": 5.5}


def _classical_lines(ax: "Axes", comparison: Comparison) -> list[Label]:
    """The classical rows; returns labels of the grids along one line."""
    rows = [r for r in comparison.rows if r.kind == "classical"]
    lines = list(dict.fromkeys((r.method, r.tolerance) for r in rows))
    iterative = [line for line in lines if line[1] is not None]
    methods = list(dict.fromkeys(method for method, _ in iterative))
    tolerances = sorted({tolerance for _, tolerance in iterative if tolerance}, reverse=True)
    direct = [line for line in lines if line[1] is None]
    first = [line for line in iterative if line[0] == methods[0]]
    named = min(first, key=lambda line: line[1] or 0, default=lines[-1] if lines else None)
    labels: list[Label] = []
    for method, tolerance in lines:
        series = sorted(
            (r for r in rows if (r.method, r.tolerance) == (method, tolerance)),
            key=lambda r: math.prod(r.grid),
        )
        if tolerance is None:
            marker = DIRECT_MARKERS[direct.index((method, tolerance)) % len(DIRECT_MARKERS)]
            style: dict[str, Any] = {"color": DIRECT_COLOUR, "marker": marker, "ls": ":"}
            label = method
        else:
            i, k = methods.index(method), tolerances.index(tolerance)
            style = {
                "color": CLASSICAL_COLOURS[i % len(CLASSICAL_COLOURS)],
                "marker": CLASSICAL_MARKERS[k % len(CLASSICAL_MARKERS)],
            }
            label = f"{method}, to {tolerance:.0e}"
        quartiles(ax, series, style["color"])
        ax.plot(
            [r.seconds for r in series],
            [r.error for r in series],
            lw=1.1,
            ms=4.5,
            label=label,
            zorder=3,
            **style,
        )
        if (method, tolerance) == named:
            labels += [Label((r.seconds, r.error), grid_name(r.grid), "#35506B") for r in series]
    return labels


def _operator_points(ax: "Axes", comparison: Comparison) -> list[Label]:
    """The operators' rows; returns a label of each grid at its fastest point."""
    labels: list[Label] = []
    operators = [r for r in comparison.rows if r.kind == "operator"]
    sizes = {b: 30 + 45 * i for i, b in enumerate(sorted({r.batch for r in operators}))}
    for i, name in enumerate(comparison.operators):
        colour = OPERATOR_COLOURS[i % len(OPERATOR_COLOURS)]
        marker = OPERATOR_MARKERS[i // len(OPERATOR_COLOURS) % len(OPERATOR_MARKERS)]
        rows = [r for r in operators if r.method == name]
        quartiles(ax, rows, colour)
        for shape in dict.fromkeys(r.grid for r in rows):
            series = sorted((r for r in rows if r.grid == shape), key=lambda r: r.batch)
            seconds, errors = [r.seconds for r in series], [r.error for r in series]
            ax.plot(seconds, errors, color=colour, lw=0.9, alpha=0.6, zorder=4)
            fastest = min(series, key=lambda r: r.seconds)
            labels.append(Label((fastest.seconds, fastest.error), grid_name(shape), colour))
        # A white edge, so that points of different operators stay apart.
        ax.scatter(
            [r.seconds for r in rows],
            [r.error for r in rows],
            s=[sizes[r.batch] for r in rows],
            color=colour,
            marker=marker,
            edgecolor="white",
            lw=0.7,
            zorder=5,
        )
        ax.scatter([], [], color=colour, marker=marker, label=name)
    for batch, size in sizes.items():
        ax.scatter([], [], s=size, color="#BBBBBB", label=f"batch {batch}")
    return labels


def training_curves(
    path: str | Path, files: Mapping[str, str | Path], *, column: str = "relative_l2"
) -> Path:
    """Validation error (solid) and training loss (dashed) over epochs, one colour for each run.

    Args:
        path: file of the figure.
        files: label -> `metrics.csv` of a run.
        column: the validation metric to draw.

    Raises:
        ValueError: a file holds no epochs, or lacks the column.
    """
    with _figure(path, (6.4, 3.8)) as figure:
        ax = figure.add_subplot()
        for (label, file), colour in zip(files.items(), _cycle(OPERATOR_COLOURS), strict=False):
            curves = read_metrics(file)
            if column not in curves:
                raise ValueError(f"{file} has no column {column!r}; it has {', '.join(curves)}.")
            epochs = curves["epoch"]
            marker = "o" if len(epochs) < 8 else None
            known = ~np.isnan(curves[column])
            ax.plot(
                epochs[known],
                curves[column][known],
                color=colour,
                lw=1.6,
                marker=marker,
                ms=3,
                label=f"{label}, validation",
            )
            if "train_loss" in curves:
                known = ~np.isnan(curves["train_loss"])
                ax.plot(
                    epochs[known],
                    curves["train_loss"][known],
                    color=colour,
                    lw=1.0,
                    ls="--",
                    alpha=0.8,
                    label=f"{label}, training loss",
                )
        ax.set(
            yscale="log",
            xlabel="epoch",
            ylabel=f"validation {column.replace('_l', ' L').replace('_h', ' H')}, training loss",
        )
        ax.set_title("Training", loc="left")
        ax.grid(which="both", color="#EBEBEB", lw=0.5)
        ax.legend(fontsize=8)
    return Path(path)


def read_metrics(file: str | Path) -> dict[str, np.ndarray]:
    """Columns of a run's metrics.csv by name, with NaN for empty cells.

    Raises:
        ValueError: the file has no lines, or no column "epoch".
    """
    rows = read_csv(file)
    if not rows or "epoch" not in rows[0]:
        raise ValueError(f"{file} holds no training curve; expected a CSV with a column 'epoch'.")
    return {name: np.array([float(r[name] or "nan") for r in rows]) for name in rows[0]}


def _cycle(colours: Sequence[str]) -> Iterator[str]:
    while True:
        yield from colours
