"""Figures of a network that solves one equation: solution, error, training, characteristics."""
# Axes: t time, c channel, d position or label, n labels or points, *space nodes.

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..models import LPINN
from ..tasks.classical_solution import classical_solution
from ..tasks.equation import EquationRun
from .figures import CLASSICAL_COLOURS, OPERATOR_COLOURS, new_figure
from .plots import training_curves
from .trajectory_plots import film

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NODES = {1: 128, 2: 64}  # per axis, by the number of axes
_TIMES = 41
_LABELS = 33  # characteristics in a figure
_LINE_TIMES = 201


def draw(run: EquationRun, folder: str | Path) -> list[Path]:
    """Draw solution.png, error.png, loss.png if the run has a metrics.csv, and characteristics.png
    for an LPINN in one dimension, and return their paths.

    The solution is shown with `classical_solution` and the difference, of the first
    channel.

    Args:
        folder: created if it does not exist.

    Raises:
        ValueError: the classical solution does not converge.
    """
    folder, name = Path(folder), run.recipe.model.name
    d, t_end = run.domain.ndim, run.recipe.domain.t_end
    grid = run.domain.with_shape((_NODES[d],) * d)
    times = [t_end * k / (_TIMES - 1) for k in range(_TIMES)]
    truth = classical_solution(run.field.equation, run.field.u0, grid, times).u
    u = run.on(grid, times).to(truth)
    drawn = [
        film(folder / "solution.png", times, truth[:, 0], u[:, 0], name=name, domain=grid),
        error_at_times(folder / "error.png", times, truth, u, name=name),
    ]
    metrics = run.folder / "metrics.csv"
    if metrics.is_file():
        drawn.append(training_curves(folder / "loss.png", {name: metrics}, column="residual"))
    if isinstance(run.field, LPINN) and d == 1:
        drawn.append(characteristics(folder / "characteristics.png", run.field))
    return drawn


def error_at_times(
    path: str | Path,
    times: Sequence[float],
    truth: Float[Tensor, "t c *space"],
    u: Float[Tensor, "t c *space"],
    *,
    name: str,
) -> Path:
    """Relative L² error and largest error, relative to the largest |u|, over time; logarithmic.

    The initial field holds exactly, so that t = 0 is left out.
    """
    wrong, right = (u - truth).flatten(1), truth.flatten(1)
    curves = {
        "relative L2 error": wrong.norm(dim=1) / right.norm(dim=1),
        "largest error / largest |u|": wrong.abs().amax(1) / right.abs().amax(1),
    }
    with new_figure(path, (5.4, 3.6)) as figure:
        ax = figure.add_subplot()
        for (label, values), colour in zip(curves.items(), OPERATOR_COLOURS, strict=False):
            ax.plot(times[1:], values[1:].tolist(), lw=1.5, color=colour, label=label)
        positive = [v for values in curves.values() for v in values[1:].tolist() if v > 0]
        if positive:
            ax.set(yscale="log")
        ax.set(xlabel="time", xlim=(0, times[-1]), ylabel="error")
        ax.grid(which="major", color="#E6E6E6", lw=0.6)
        ax.set_title(f"{name}: error against a resolved classical solution", loc="left")
        ax.legend(fontsize=8)
    return Path(path)


def characteristics(path: str | Path, field: LPINN) -> Path:
    """The lines t ↦ X(ξ, t) of uniform labels in the box, coloured by w, and J = ∂X/∂ξ over labels
    at some times, logarithmic: labels gather where J is small, and the map folds where it is
    negative."""
    (L,), t_end = field.grid.extent, field.t_end
    parameter = next(field.parameters())
    labels = field.grid.with_shape((_LABELS - 1,)).nodes().flatten(1).to(parameter)
    times = torch.linspace(0, t_end, _LINE_TIMES, dtype=parameter.dtype)
    with torch.no_grad():
        moved = [field.flow(labels, t) for t in times.tolist()]
        fine = field.grid.with_shape((512,)).nodes().flatten(1).to(parameter)
        shown = [t_end * k / 4 for k in range(5)]
        J = {t: field.flow(fine, t).gradient[0, 0] for t in shown}
    X = torch.stack([m.position[0] for m in moved], 1)
    w = torch.stack([m.value[0] for m in moved], 1)
    with new_figure(path, (9.6, 3.8)) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        lines = _lines(left, X.numpy(), times.numpy(), w.numpy(), L)
        figure.colorbar(lines, ax=left, shrink=0.85, pad=0.02, label="u").outline.set_visible(False)
        left.set(xlabel="x", ylabel="time", xlim=(0, L), ylim=(0, t_end))
        left.set_title("Characteristics", loc="left")
        for i, (t, values) in enumerate(J.items()):
            shade = i / (len(J) - 1)
            colour = tuple(shade * np.array((0.106, 0.227, 0.341)) + (1 - shade) * 0.78)
            right.plot(
                fine[0].tolist(), values.tolist(), lw=1.3, color=colour, label=f"t = {t:.3g}"
            )
        if all((values > 0).all() for values in J.values()):
            right.set(yscale="log")
        else:
            right.axhline(0.0, color=CLASSICAL_COLOURS[0], lw=0.8, ls="--")
        right.set(xlabel="label ξ", ylabel="J = ∂X/∂ξ", xlim=(0, L))
        right.grid(which="major", color="#E6E6E6", lw=0.6)
        right.set_title("Contraction of the labels", loc="left")
        right.legend(fontsize=7)
    return Path(path)


def _lines(ax: "Axes", X: np.ndarray, times: np.ndarray, w: np.ndarray, L: float) -> Any:
    """Lines in the periodic box, cut where they leave it and coloured by w."""
    from matplotlib.collections import LineCollection

    segments, colours = [], []
    for x, values in zip(X, w, strict=True):
        a, b = np.stack([x[:-1], times[:-1]], 1), np.stack([x[1:], times[1:]], 1)
        # A segment is drawn in the box of either end; the axes cut what lies outside.
        for end in (x[:-1], x[1:]):
            shift = np.stack([L * np.floor(end / L), 0 * end], 1)
            segments.append(np.stack([a - shift, b - shift], 1))
            colours.append((values[:-1] + values[1:]) / 2)
    lines = LineCollection(list(np.concatenate(segments)), cmap="viridis", lw=1.2)
    lines.set_array(np.concatenate(colours))
    ax.add_collection(lines)
    return lines
