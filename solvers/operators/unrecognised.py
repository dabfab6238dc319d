"""Why a matrix is no stencil on a grid, and what it is instead, as far as its graph tells."""

from collections.abc import Sequence

import numpy as np

from ...kernels import recognition
from ...kernels.recognition import FAR, MOST, Entries, Pairs
from .shapes import axis_shapes, box_shapes

LISTED = 8  # distances that a message lists
FEWEST = 4  # nodes per axis of the grid of a system; a smaller one fits by accident


def look(A: Entries, P: Pairs, reasons: Sequence[str]) -> str:
    """The reason for a symmetric matrix that fits no grid.

    Args:
        reasons: why it does not fit the grids that its distances allow.
    """
    return _system(A) or next(iter(reasons), "") or _permuted(A, P) or _distances(A, P)


def _system(A: Entries) -> str:
    """The reason if the matrix couples two or three unknowns at each node of a grid."""
    size = len(A.diagonal)
    for k in (2, 3):
        if size % k:
            continue
        nodes = size // k
        for kind, width in (
            (f"interleaved unknowns: {k} at each node", k),
            (f"{k} fields, one after the other", 1),
        ):
            distances = recognition.node_distances(A, width, nodes)
            shapes = (
                axis_shapes(nodes, distances) + box_shapes(nodes, distances) if distances else []
            )
            for shape in shapes:
                if min(shape) >= FEWEST and _on_grid(A, k, width, shape):
                    return (
                        f"{kind} of a grid of {' x '.join(map(str, shape))}, as of a system of {k} "
                        f"equations. Stencils have one unknown per node; use smoothed aggregation "
                        f"with the near-null space (rigid-body modes for elasticity)"
                    )
    return ""


def _on_grid(A: Entries, k: int, width: int, shape: tuple[int, ...]) -> bool:
    """Whether all coupled unknowns are at one node or at neighbours on the grid."""
    nodes = len(A.diagonal) // k
    rows = np.repeat(np.arange(len(A.diagonal)), np.diff(A.starts))
    columns = A.columns.astype(np.int64)
    # On a line a band of five diagonals looks the same, but for the outermost couplings.
    if len(shape) == 1 and not (columns - rows == 2 * k - 1).any():
        return False
    places = (np.array(np.unravel_index(i // width % nodes, shape)) for i in (rows, columns))
    apart = abs(next(places) - next(places)).max(axis=0) > 1
    least = recognition.ROUND_OFF * np.minimum(A.largest[rows], A.largest[columns])
    return not (apart & (abs(A.values) > least)).any()


def _permuted(A: Entries, P: Pairs) -> str:
    """The reason if the graph has the degrees of a grid, but the rows another order."""
    if P.distances is not None and len(P.distances) <= MOST:
        return ""
    degrees = np.diff(A.starts) - (A.diagonal != 0)
    most, mean = int(degrees.max(initial=0)), float(degrees.mean())
    for ndim, neighbours in ((2, 4), (3, 6), (2, 8), (3, 26)):
        if most == neighbours and mean > 0.7 * neighbours:
            return (
                f"the rows look like a grid of {ndim} axes in another order: at most {most} "
                f"neighbours each, at no fixed distances. Number the unknowns row by row for the "
                f"solvers on grids; algebraic multigrid accepts any order"
            )
    return ""


def _distances(A: Entries, P: Pairs) -> str:
    use = "Use algebraic multigrid, or a sparse direct solver"
    if P.distances is None:
        return (
            f"no grid: its entries are at more than {FAR} distances from the diagonal, as those of "
            f"an unstructured mesh. {use}"
        )
    more = " ..." if len(P.distances) > LISTED else ""
    return (
        f"no grid of one to three axes has all neighbours at the distances "
        f"{', '.join(map(str, P.distances[:LISTED]))}{more} of this matrix of {len(A.diagonal)} "
        f"rows. {use}"
    )
