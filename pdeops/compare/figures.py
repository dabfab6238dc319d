"""How figures are made: colours, style, formats, and a canvas without global state.

They use matplotlib's objects and its Agg canvas, not pyplot.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's palette, safe for colour-blind readers: warm colours for operators, blue ones for
# classical solvers.
OPERATOR_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00")
OPERATOR_MARKERS = ("o", "h", "<")  # of the operators after those that have a colour alone
CLASSICAL_COLOURS = ("#0072B2", "#56B4E9", "#1B3A57", "#7FA6C9")
CLASSICAL_MARKERS = ("s", "D", "^", "v")
DIRECT_COLOUR = "#7A7A7A"
DIRECT_MARKERS = ("x", "+")
FORMATS = (".png", ".pdf", ".svg")  # of figures whose file the user names
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def import_matplotlib() -> Any:
    """The package matplotlib, also where MPLBACKEND names a backend that is not installed.

    A notebook sets the variable for all commands started from it, and matplotlib then does not
    import in an environment without the notebook's backend. Figures are written by Agg alone.
    """
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):  # as matplotlib does at import, except that it raises
            matplotlib.rcParams["backend"] = backend
    return matplotlib


@contextmanager
def new_figure(path: str | Path, size: tuple[float, float]) -> Iterator["Figure"]:
    """An empty figure, which is written to `path` if the block succeeds."""
    matplotlib = import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        yield figure
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)


def check_format(path: str | Path) -> None:
    """Raise a ValueError unless the suffix of a figure's path names one of `FORMATS`."""
    suffix = Path(path).suffix
    if suffix.lower() not in FORMATS:
        got = f"the suffix {suffix}" if suffix else "no suffix"
        raise ValueError(
            f"The figure is written as {', '.join(FORMATS)}; got {got} in {path}. Rename it."
        )
