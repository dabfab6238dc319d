"""Why a matrix is no stencil on a grid, in the words of who has assembled it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.recognition import ROUND_OFF, Entries
from .shapes import axis_shapes, box_shapes

MOST = 8  # distances that a message lists


def look(A: Entries, reasons: Sequence[str]) -> str:
    """The reason for a symmetric matrix that fits no grid.

    Args:
        reasons: why it does not fit the grids that its distances allow.
    """
    rows, columns = _couplings(A)
    return (
        _system(len(A.diagonal), rows, columns)
        or next(iter(reasons), "")
        or _permuted(len(A.diagonal), rows)
        or _distances(len(A.diagonal), columns - rows)
    )


def _couplings(A: Entries) -> tuple[Any, Any]:
    """Rows and columns of the entries off the diagonal that are not round-off."""
    rows = np.repeat(np.arange(len(A.diagonal)), np.diff(A.starts))
    least = ROUND_OFF * np.minimum(A.largest[rows], A.largest[A.columns])
    kept = (rows != A.columns) & (abs(A.values) > least)
    return rows[kept], A.columns[kept].astype(np.int64)


def _system(size: int, rows: Any, columns: Any) -> str:
    """The reason if the matrix couples two or three unknowns at each node of a grid."""
    for k in (2, 3):
        if size % k:
            continue
        nodes = size // k
        for kind, along, across in (
            ("interleaved unknowns: {k} at each node", np.floor_divide, k),
            ("{k} fields, one after the other", np.remainder, nodes),
        ):
            i, j = along(rows, across), along(columns, across)
            distances = _distinct(abs(j - i)[j != i])
            if not 0 < len(distances) <= 2 * 13:
                continue
            ours = distances.tolist()
            shapes = [s for s in axis_shapes(nodes, ours) + box_shapes(nodes, ours) if 1 not in s]
            # On a line a band of five diagonals looks the same, but for the outermost couplings.
            if (nodes,) in shapes and not (columns - rows == 2 * k - 1).any():
                continue
            if shapes:
                named = " x ".join(map(str, shapes[0]))
                return (
                    f"{kind.format(k=k)} of a grid of {named}, as of a system of {k} equations. "
                    f"Stencils have one unknown per node; use smoothed aggregation with the "
                    f"near-null space (rigid-body modes for elasticity)"
                )
    return ""


def _permuted(size: int, rows: Any) -> str:
    """The reason if the graph has the degrees of a grid, but the rows another order."""
    degrees = np.bincount(rows, minlength=size)
    most, mean = int(degrees.max(initial=0)), float(degrees.mean())
    for ndim, neighbours in ((2, 4), (3, 6), (2, 8), (3, 26)):
        if most == neighbours and mean > 0.7 * neighbours:
            return (
                f"the rows look like a grid of {ndim} axes in another order: at most {most} "
                f"neighbours each, at no fixed distances. Number the unknowns row by row for the "
                f"solvers on grids; algebraic multigrid accepts any order"
            )
    return ""


def _distances(size: int, distances: Any) -> str:
    found = _distinct(abs(distances))
    more = " ..." if len(found) > MOST else ""
    return (
        f"no grid of one to three axes has all neighbours at the distances "
        f"{', '.join(map(str, found[:MOST]))}{more} of this matrix of {size} rows. Use algebraic "
        f"multigrid, or a sparse direct solver"
    )


def _distinct(distances: Any) -> Any:
    """The distances that occur, ascending; faster than by sorting, as they are below the size."""
    return np.flatnonzero(np.bincount(distances))
