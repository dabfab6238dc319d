"""The figure of a study of trajectories: error and correlation time over seconds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .figures import CLASSICAL_MARKERS, OPERATOR_COLOURS, new_figure
from .labels import Label, place_labels
from .plots import log_limits, note_few, quartiles, surrogate_style
from .rollout_candidates import THRESHOLD
from .rollout_comparison import RolloutComparison
from .tables import grid_name, metric_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID_COLOURS = ("#1B3A57", "#0072B2", "#4393C3", "#56B4E9", "#9ECAE1")  # coarse to fine


def error_seconds(comparison: RolloutComparison, path: str | Path) -> Path:
    """Left the error at the last time (lower left is better), right the correlation time (upper
    left is better), over seconds per trajectory. Returns the path.

    Steppers of batch 1 have one line for each grid, over dt; operators and surrogates without a
    network one for all batch sizes. Horizontal bars are the quartiles of the seconds.
    """
    classical = [r for r in comparison.rows if r.kind == "classical" and r.batch == 1]
    with new_figure(path, (10.6, 4.6)) as figure:
        left, right = figure.subplots(1, 2)
        measures: list[tuple[Any, str]] = [(left, "error"), (right, "correlation_time")]
        labels: dict[Any, list[Label]] = {left: [], right: []}
        for ax, measure in measures:
            for i, method in enumerate(dict.fromkeys(r.method for r in classical)):
                grids = sorted({r.grid for r in classical if r.method == method})
                for k, grid in enumerate(grids):
                    series = [r for r in classical if (r.method, r.grid) == (method, grid)]
                    colour = GRID_COLOURS[k % len(GRID_COLOURS)]
                    quartiles(ax, series, colour, measure)
                    ax.plot(
                        [r.seconds for r in series],
                        [getattr(r, measure) for r in series],
                        color=colour,
                        marker=CLASSICAL_MARKERS[i % len(CLASSICAL_MARKERS)],
                        ls=("-", ":")[i % 2],
                        lw=1.0,
                        ms=4,
                        label=f"{method} on {grid_name(grid)}" if measure == "error" else None,
                    )
            _surrogates(ax, comparison, measure)
            for i, name in enumerate(comparison.operators):
                series = [r for r in comparison.rows if r.kind == "operator" and r.method == name]
                colour = OPERATOR_COLOURS[i % len(OPERATOR_COLOURS)]
                label = name if measure == "error" else None
                points = [r.seconds for r in series], [getattr(r, measure) for r in series]
                quartiles(ax, series, colour, measure)
                ax.plot(*points, color=colour, marker="o", ms=7, lw=0.9, label=label)
                found = zip(series, *points, strict=True)
                labels[ax] += [Label((x, y), f"batch {r.batch}", colour) for r, x, y in found]
            ax.set(xscale="log", xlabel="seconds per trajectory (median and quartiles), s")
            ax.set(xlim=log_limits([r.seconds for r in comparison.rows]))
            ax.grid(which="major", color="#E6E6E6", lw=0.6)
        end = f"{comparison.times[-1]:.4g}"
        note_few(left, classical)
        left.set(yscale="log", ylim=log_limits([r.error for r in comparison.rows]))
        left.set(ylabel=f"{metric_name(comparison.metric)} error after {end}")
        right.set(
            ylabel=f"time with correlation above {THRESHOLD:g}, of {end}",
            ylim=(0, 1.08 * comparison.times[-1]),
        )
        left.set_title(
            f"{comparison.problem}: {comparison.num_samples} trajectories against "
            f"{grid_name(comparison.reference)}",
            loc="left",
        )
        figure.legend(loc="outside right upper", fontsize=7)
        for ax, mine in labels.items():
            place_labels(ax, mine, ax.texts)
    return Path(path)


def _surrogates(ax: "Axes", comparison: RolloutComparison, measure: str) -> None:
    """The surrogates without a network: a series over batch sizes for each."""
    rows = [r for r in comparison.rows if r.kind == "reduced"]
    for i, name in enumerate(dict.fromkeys(r.method for r in rows)):
        series, style = [r for r in rows if r.method == name], surrogate_style(i)
        quartiles(ax, series, style["color"], measure)
        ax.plot(
            [r.seconds for r in series],
            [getattr(r, measure) for r in series],
            label=f"{name}, without a network" if measure == "error" else None,
            **style,
        )
