"""Labels of points in a figure that do not overlap each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Offsets from the point in points of type, with the alignment of the text, in order of preference.
PLACES = (
    *((0, 7, "center", "bottom"), (0, -7, "center", "top")),
    *((4, 16, "left", "bottom"), (4, -16, "left", "top")),
    *((-4, 16, "right", "bottom"), (-4, -16, "right", "top")),
)
MARGIN = 2  # pixels around a text


@dataclass(frozen=True)
class Label:
    """A text at a point in the coordinates of the data."""

    point: tuple[float, float]
    text: str
    colour: str


def place_labels(ax: "Axes", labels: Sequence[Label], obstacles: Sequence[Any] = ()) -> None:
    """Write each label at the first of `PLACES` where it overlaps no other one and lies inside the
    axes; a label without such a place is left out. The figure must be complete otherwise.

    Args:
        obstacles: texts of the figure that no label may overlap.
    """
    from matplotlib.patheffects import withStroke

    figure: Any = ax.figure
    halo = withStroke(linewidth=2, foreground="white")  # lines below a text stay readable
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    taken = [text.get_window_extent(renderer) for text in obstacles]
    inside = ax.get_window_extent(renderer)
    for label in labels:
        for dx, dy, ha, va in PLACES:
            text = ax.annotate(
                label.text,
                label.point,
                (dx, dy),
                textcoords="offset points",
                ha=ha,
                va=va,
                fontsize=7,
                color=label.colour,
                zorder=6,
                path_effects=[halo],
            )
            box = text.get_window_extent(renderer).padded(MARGIN)
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1
            within = within and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if within and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
