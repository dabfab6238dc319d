"""The figure of a refinement: error against seconds, compared with plain time stepping."""

from pathlib import Path

from .figures import CLASSICAL_COLOURS, OPERATOR_COLOURS, STYLE, import_matplotlib
from .refinement import RefinementStudy
from .tables import metric_name


def draw(study: RefinementStudy, path: str | Path) -> Path:
    """Error of the last frame over seconds, logarithmic; lower left is better. Returns the path.

    An arrow leads from each prediction to the refined one (medians); points are runs of the solver.
    """
    matplotlib = import_matplotlib()
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained", facecolor="white")
        ax = figure.add_subplot()
        for name, colour in zip(("model", "persistence"), OPERATOR_COLOURS, strict=False):
            points = [
                (max(study.median(n, "seconds"), 1e-4), study.median(n, "last_error"))
                for n in (name, f"{name}, refined")
            ]
            ax.annotate("", points[1], points[0], arrowprops={"arrowstyle": "->", "color": colour})
            ax.plot(*zip(*points, strict=True), "o", color=colour, label=f"{name}, refined")
        done = [r for r in study.stepping if r.completed]
        for i, grid in enumerate(dict.fromkeys(r.grid for r in done)):
            rows = [r for r in done if r.grid == grid]
            ax.plot(
                [r.seconds for r in rows],
                [r.error for r in rows],
                "s-",
                color=CLASSICAL_COLOURS[i % len(CLASSICAL_COLOURS)],
                label=f"{rows[0].method} on {'×'.join(map(str, grid))}",
            )
        ax.set(xscale="log", yscale="log", xlabel="seconds per trajectory")
        ax.set(ylabel=f"{metric_name(study.metric)} error of the last frame")
        ax.legend()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=200)
    return Path(path)
