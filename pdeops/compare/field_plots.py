"""Figures of fields on any domain: input, truth, prediction and error of some samples."""
# Axes: c channel, t time, x y z nodes of a grid, n points.

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..datasets import FieldDataset, open_dataset
from ..domain import Domain, Grid, Points, Sphere
from .figures import import_matplotlib, new_figure
from .tables import percent
from .triangulation import triangulate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 3  # samples in a figure
NODE_COLOUR = "#35506B"


@dataclass(frozen=True)
class Samples:
    """Some samples to draw: fields with one channel, of shape `domain.shape` each.

    Attributes:
        inputs: None where the input is the geometry: the points themselves.
        truths: reference solutions; None where they are not known.
        predictions: name of the operator -> its predictions.
        domains: the grid, sphere or points of each sample.
        names: of the input and of the truth.
    """

    inputs: Sequence[Tensor | None]
    truths: Sequence[Tensor | None]
    predictions: Mapping[str, Sequence[Tensor]]
    domains: Sequence[Domain]
    names: tuple[str, str] = ("input", "truth")


def field_panel(path: str | Path, samples: Samples) -> Path:
    """One row per sample: input, truth, and the prediction and absolute error of each operator.

    The truth and predictions in a row share a colour scale, and so do the errors. The first axis is
    horizontal. In one dimension, fields are curves, with a common vertical scale. Points of the
    plane are drawn on triangles (`triangulate`), points in space as coloured points, and of a box
    in space the middle plane of the last axis.
    """
    import_matplotlib()
    rows = [_panels(samples, i) for i in range(len(samples.domains))]
    columns = max(map(len, rows))
    solid = any(_dimension(domain) == 3 for domain in samples.domains if domain.kind == "points")
    axes_of = {"projection": "3d"} if solid else {}
    with new_figure(path, (2.15 * columns + 0.4, 2.05 * len(rows) + 0.3)) as figure:
        axes = figure.subplots(len(rows), columns, squeeze=False, subplot_kw=axes_of)
        for i, (row, domain) in enumerate(zip(rows, samples.domains, strict=True)):
            for ax, panel in zip(axes[i], row, strict=False):
                _draw(figure, ax, domain, panel)
                if i == 0 or panel.title.startswith("error"):
                    ax.set_title(panel.title, fontsize=8)
            for ax in axes[i][len(row) :]:
                ax.set_axis_off()
    return Path(path)


@dataclass(frozen=True)
class _Panel:
    """One picture: its title, values (None for the nodes alone), colours and limits."""

    title: str
    values: np.ndarray | None
    cmap: str
    limits: tuple[float, float] | None = None


def _panels(samples: Samples, i: int) -> list[_Panel]:
    """The pictures of sample i, from left to right."""
    truth = None if samples.truths[i] is None else _array(samples.truths[i])
    predicted = {name: _array(fields[i]) for name, fields in samples.predictions.items()}
    shared = _limits([u for u in (truth, *predicted.values()) if u is not None])
    given = samples.inputs[i]
    panels = [
        _Panel("points", None, "cividis")
        if given is None
        else _Panel(samples.names[0], _array(given), "cividis")
    ]
    if truth is not None:
        panels.append(_Panel(samples.names[1], truth, "viridis", shared))
        worst = _limits([abs(p - truth) for p in predicted.values()])[1] or 1.0
    for name, p in predicted.items():
        panels.append(_Panel(name, p, "viridis", shared))
        if truth is not None:
            relative = percent(float(np.linalg.norm(p - truth) / (np.linalg.norm(truth) or 1.0)))
            title = f"error of {name}: {relative}"
            panels.append(_Panel(title, abs(p - truth), "magma", (0.0, worst)))
    return panels


def _array(u: Tensor | None) -> np.ndarray:
    assert u is not None
    values: np.ndarray = u.detach().cpu().double().numpy()
    return values


def _limits(fields: Sequence[np.ndarray]) -> tuple[float, float]:
    """The smallest and the largest finite value of all fields."""
    finite = [u[np.isfinite(u)] for u in fields]
    values = np.concatenate([u.ravel() for u in finite]) if finite else np.zeros(0)
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def _dimension(domain: Any) -> int:
    """Number of coordinates of the nodes."""
    return domain.num_coordinates if isinstance(domain, Points) else domain.ndim


def _draw(figure: "Figure", ax: "Axes", domain: Domain, panel: _Panel) -> None:
    """One picture, with its scale of colours."""
    if _dimension(domain) == 1:
        _draw_curve(ax, domain, panel)
        return
    image = _DRAW[domain.kind](ax, domain, panel)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if image is None:
        return
    if panel.limits is not None:
        image.set_clim(*panel.limits)
    _colour_bar(figure, ax, image, panel)


def _colour_bar(figure: "Figure", ax: "Axes", image: Any, panel: _Panel) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    digits = ScalarFormatter()
    digits.set_powerlimits((-2, 3))
    ticks: Any = MaxNLocator(4, steps=[1, 2, 5, 10])
    if panel.values is not None and panel.limits is None:
        levels = np.unique(panel.values)  # a piecewise constant input shows its values
        ticks = levels if len(levels) <= 4 else ticks
    bar = figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02, ticks=ticks, format=digits)
    bar.ax.tick_params(labelsize=6, length=2)
    bar.ax.yaxis.get_offset_text().set_fontsize(6)
    bar.outline.set_visible(False)


def _draw_curve(ax: "Axes", domain: Any, panel: _Panel) -> None:
    x = domain.nodes().flatten().cpu().numpy()
    order = np.argsort(x)
    values = np.zeros_like(x) if panel.values is None else panel.values
    ax.plot(x[order], values[order], lw=1.2, marker="|" if panel.values is None else None)
    if panel.limits is not None and panel.limits[0] < panel.limits[1]:
        margin = 0.05 * (panel.limits[1] - panel.limits[0])
        ax.set_ylim(panel.limits[0] - margin, panel.limits[1] + margin)
    ax.tick_params(labelsize=6, length=2)


def pixels(u: np.ndarray, domain: Grid | Sphere) -> np.ndarray:
    """The pixels of a field in two dimensions, the lowest row first: the first axis of a box is
    horizontal; on a sphere longitude is, and the north is up."""
    return u.T if isinstance(domain, Grid) else u[::-1]


def _draw_box(ax: "Axes", domain: Grid, panel: _Panel) -> Any:
    assert panel.values is not None
    u = panel.values if domain.ndim == 2 else panel.values[..., domain.shape[2] // 2]
    extent = (0, domain.extent[0], 0, domain.extent[1])
    return ax.imshow(pixels(u, domain), origin="lower", extent=extent, cmap=panel.cmap)


def _draw_sphere(ax: "Axes", domain: Sphere, panel: _Panel) -> Any:
    assert panel.values is not None
    shown = pixels(panel.values, domain)
    return ax.imshow(shown, origin="lower", aspect="auto", cmap=panel.cmap)


def _draw_points(ax: Any, domain: Points, panel: _Panel) -> Any:
    nodes = domain.nodes().cpu().numpy()
    if len(nodes) != 2:
        ax.set(zticks=[], aspect="equal")
        if panel.values is None:
            ax.scatter(*nodes[:3], s=1, color=NODE_COLOUR)
            return None
        return ax.scatter(*nodes[:3], c=panel.values, s=2, cmap=panel.cmap)
    triangles = triangulate(domain)
    ax.set_aspect("equal")
    if panel.values is None:
        ax.triplot(triangles, lw=0.3, color=NODE_COLOUR)
        return None
    return ax.tripcolor(triangles, panel.values, shading="gouraud", cmap=panel.cmap)


# Kind of domain -> the picture of a field, an artist with a scale of colours or None.
_DRAW: dict[str, Callable[[Any, Any, _Panel], Any]] = {
    Grid.kind: _draw_box,
    Sphere.kind: _draw_sphere,
    Points.kind: _draw_points,
}


def samples_of(
    dataset: FieldDataset,
    predictions: Mapping[str, Callable[[int], Tensor]],
    *,
    chosen: Sequence[int] | None = None,
    frame: int = -1,
) -> Samples:
    """Samples of a data set to draw: the first channels, and of trajectories the first input frame
    and the last frame of the predictions.

    Args:
        predictions: name -> (index of a sample -> its prediction, [t] c *space).
        chosen: indices of the samples; by default the first.
        frame: of the truth, at the time of the last predicted frame.
    """
    chosen = range(min(SHOWN, len(dataset))) if chosen is None else chosen
    batches = [dataset.read([i]) for i in chosen]
    domains = [_domain_of(dataset, i) for i in chosen]
    geometry = isinstance(dataset.domain, Points) and "positions" in batches[0]
    geometry = geometry and _is_geometry(batches[0].input, batches[0].positions)
    inputs = [None if geometry else _first(b.input[0], dataset.n_in, 0) for b in batches]
    truths = [_first(b.target[0], dataset.n_out, frame) if "target" in b else None for b in batches]
    predicted = {
        name: [_first(predict(i), dataset.n_out, -1) for i in chosen]
        for name, predict in predictions.items()
    }
    names = (dataset.inputs[0], dataset.targets[0] if dataset.targets else "truth")
    return Samples(inputs, truths, predicted, domains, names)


def predicted_samples(data: str | Path, out: str | Path, *, name: str) -> Samples:
    """The first samples of a file of predictions to draw.

    Args:
        data: the file whose inputs were predicted; its targets are the truth, if it has them.
        out: the file that `pdeops predict` wrote.
        name: the operator's name.
    """
    known, predicted = open_dataset(data), open_dataset(out)
    frame = -1
    if known.n_out is not None and known.n_in is not None:
        times = np.array(known.times)
        frame = int(abs(times - predicted.times[-1]).argmin()) - known.n_in
    return samples_of(known, {name: lambda i: predicted.read([i]).target[0]}, frame=frame)


def _first(u: Tensor, num_frames: int | None, frame: int) -> Tensor:
    """The first channel of a field, or of this frame of a trajectory."""
    return (u if num_frames is None else u[frame])[0]


def _domain_of(dataset: FieldDataset, index: int) -> Domain:
    return dataset.points(index) if isinstance(dataset.domain, Points) else dataset.domain


def _is_geometry(x: Tensor, positions: Tensor) -> bool:
    """Whether the input is the coordinates of the points."""
    return x.shape == positions.shape and bool((x == positions).all())
