"""The structure of a sparse matrix, read from its CSR arrays: symmetry, distances, couplings.

The loops (`cpu.py`) read the arrays in order and build no other matrix; `reference.py` is the plain
twin, in numpy and scipy. Arrays are numpy's. A grid has one to three axes, its nodes are in C
order; where couplings are stored is explained in `layout.py`.

All thresholds are relative to the row: two entries are equal if they differ by at most `tolerance`
times the largest entry of either of their rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from ..forms import ArrayForms
from ..runtime.first_calls import once
from .layout import (
    ASYMMETRIC,
    FINE,
    NOT_FINITE,
    OUT_OF_RANGE,
    UNORDERED,
    WEAK,
    face_slots,
    three,
)

FORMS = ArrayForms(__name__)

# Many matrices have entries that are zero but for round-off, such as P1 elements on right angles.
ROUND_OFF = 1e-14
# Couplings and the sum of a row are equal up to this fraction of the row.
TOLERANCE = 1e-13
FAR = 32  # more distances than a stencil on a grid has; then they are not listed
FIRST = 4096  # rows on which a grid is tried
MOST = 13  # distances of a stencil of 27 points
WIDE = 1 << 20  # the step from line to line in `embed`, more than a line has nodes


@dataclass(frozen=True)
class Entries:
    """A square CSR matrix whose rows are sorted and free of duplicates; zeros may be stored.

    Attributes:
        starts, columns, values: its arrays, int64, uint32 and float64.
        diagonal: a_ii.
        largest: max_j |a_ij| of each row i.
        not_finite: the first row with NaN or infinity, -1 if there is none; the others are then
            not read.
    """

    starts: ndarray
    columns: ndarray
    values: ndarray
    diagonal: ndarray
    largest: ndarray
    not_finite: int = -1

    @property
    def arrays(self) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        """The arguments that the loops have in common."""
        return self.starts, self.columns, self.values, self.largest


@dataclass(frozen=True)
class Pairs:
    """Comparison of a matrix with its transpose.

    Attributes:
        asymmetric: row and column of the first entry that differs from that of Aᵀ; the rows after
            it are then not read.
        positive: row and column of the first positive entry above the diagonal.
        distances: j - i of the entries above the diagonal, ascending; None for more than `FAR`.
    """

    asymmetric: tuple[int, int] | None
    positive: tuple[int, int] | None
    distances: list[int] | None


@dataclass(frozen=True)
class Balance:
    """The diagonal of a matrix as a sum of couplings and an excess.

    Attributes:
        weak: the first node whose couplings exceed its diagonal, -1 if there is none; nothing else
            holds then.
        excess: per node, without the part that went to the faces at the ends; None if it is zero.
        hanging: nodes with one neighbour and no excess; None if there is none.
        closed: whether a face inside has no coupling.
        solid: whether a row is zero.
        held: whether nodes inside are coupled to a known value, as at an obstacle with u = 0 whose
            nodes were removed from the matrix or have rows of the identity.
        bounds: the smallest positive and the largest coupling.
    """

    weak: int
    excess: ndarray | None
    hanging: ndarray | None
    closed: bool
    solid: bool
    held: bool
    bounds: tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """What one pass over a matrix has found, for those who look at the same matrix again."""

    entries: Entries
    pairs: Pairs

    @classmethod
    def of(cls, matrix: Any) -> "Reading":
        """The entries of a CSR matrix, and their pairs; see `entries` for errors."""
        found = entries(matrix)
        return cls(found, pairs(found))


@FORMS.or_twin
def entries(matrix: Any) -> Entries:
    """The entries of a CSR matrix; copied only if they are of another type or out of order.

    Raises:
        ValueError: an index lies outside of the matrix.
    """
    csr, n = matrix, matrix.shape[0]
    if csr.indices.dtype != np.int32 and csr.nnz:
        check_range(csr.indices, n)
    for attempt in range(2):
        starts = np.ascontiguousarray(csr.indptr, dtype=np.int64)
        # Without a sign a negative index is far outside, and the loops test nothing to wrap it.
        columns = np.ascontiguousarray(csr.indices, dtype=np.int32).view(np.uint32)
        values = np.ascontiguousarray(csr.data, dtype=np.float64)
        diagonal, largest = np.empty(n), np.empty(n)
        code, row = _rows().rows(starts, columns, values, diagonal, largest)
        if code == UNORDERED and attempt == 0:
            csr = csr.copy()
            csr.has_sorted_indices = csr.has_canonical_format = False
            csr.sum_duplicates()
        elif code in (OUT_OF_RANGE, UNORDERED):
            raise ValueError(f"Row {row} of the matrix {_damaged(n)}")
        else:
            break
    not_finite = row if code == NOT_FINITE else -1
    return Entries(starts, columns, values, diagonal, largest, not_finite)


def check_range(indices: ndarray, n: int) -> None:
    """Raise a ValueError if a column of a matrix with n columns does not exist."""
    unsigned = indices.view(f"u{indices.itemsize}") if indices.dtype.kind == "i" else indices
    if unsigned.max() >= n:  # a negative number has become a large one
        raise ValueError(f"The matrix {_damaged(n)}")


def _damaged(n: int) -> str:
    return f"has a column outside 0 .. {n - 1}; the file or the arrays are damaged."


@FORMS.or_twin
def pairs(A: Entries, tolerance: float = TOLERANCE) -> Pairs:
    """A compared with Aᵀ, the signs and the distances of its entries."""
    distances, place = np.empty(FAR, dtype=np.int64), np.full(4, -1, dtype=np.int64)
    cursor = A.starts.copy()
    code, known = _rows().pairs(*A.arrays, tolerance, ROUND_OFF, cursor, distances, place)
    first, positive = (tuple(int(k) for k in place[end : end + 2]) for end in (0, 2))
    return Pairs(
        (first[0], first[1]) if code == ASYMMETRIC else None,
        (positive[0], positive[1]) if positive[0] >= 0 else None,
        sorted(distances[:known].tolist()) if known <= FAR else None,
    )


@FORMS.or_twin
def node_distances(A: Entries, width: int, period: int) -> list[int] | None:
    """Distances between coupled nodes, ascending, if row i belongs to the node i // width % period.

    None for more than a stencil has on a grid of three axes.
    """
    found = np.empty(MOST, dtype=np.int64)
    known = _rows().node_distances(*A.arrays, ROUND_OFF, width, period, found)
    return sorted(found[:known].tolist()) if known <= MOST else None


@FORMS.or_twin
def totals(A: Entries) -> tuple[ndarray, ndarray, tuple[int, int] | None]:
    """Per row Σ a_ij with the diagonal, and Σ |a_ij| without it.

    The third is row and column of an entry with a_ij² > a_ii a_jj, which no positive semidefinite
    matrix has, or None.
    """
    signed, absolute = np.empty_like(A.diagonal), np.empty_like(A.diagonal)
    place = np.full(2, -1, dtype=np.int64)
    _rows().totals(A.starts, A.columns, A.values, A.diagonal, signed, absolute, place)
    return signed, absolute, (int(place[0]), int(place[1])) if place[0] >= 0 else None


@FORMS.or_twin
def linked(A: Entries) -> ndarray:
    """Per row of a symmetric matrix the first row of its connected component."""
    root = np.empty(len(A.diagonal), dtype=np.int32)
    _rows().linked(A.starts, A.columns, A.values, root)
    return root


@FORMS.or_twin
def arrange(
    A: Entries,
    shape: Sequence[int],
    slots: ndarray,
    size: int,
    sign: float,
    position: ndarray | None = None,
) -> tuple[ndarray, tuple[int, int] | None]:
    """`sign` times the entries above the diagonal, each in its slot of an array of `size` zeros.

    Entries that are round-off are left out if they have no slot, or with sign -1 the wrong sign.

    Args:
        slots: the offsets that neighbours may have (`layout.py`).
        position: the node of each row, if rows are not the nodes in order.

    Returns:
        The array, and row and column of the first entry without a slot; with one the array is of
        no use.
    """
    n, place = len(A.diagonal), np.full(2, -1, dtype=np.int64)
    nodes = np.empty(0, dtype=np.int64) if position is None else position
    arguments = (*A.arrays, ROUND_OFF, nodes, three(shape), slots, sign)
    store = np.empty(0)
    # The first rows tell most wrong grids; the memory of the array costs more than they do.
    fits = _rows().arrange(*arguments, min(n, FIRST), store, place)
    if fits:
        store = np.zeros(size)
        fits = _rows().arrange(*arguments, n, store, place)
    return store, None if fits else (int(place[0]), int(place[1]))


@FORMS.or_twin
def balance(
    diagonal: ndarray, shape: Sequence[int], periodic: Sequence[bool], store: ndarray
) -> Balance:
    """The diagonal as the sum of the couplings in `store` (`layout.face_slots`) and an excess.

    The excess of a node at the ends of axes that are not periodic is a coupling to a known value
    beyond, in equal parts for each end, and is written to `store`. The part for an inner face
    towards an empty row (a node of an obstacle that is not an unknown) remains excess, and so does
    a penalty (`layout.PENALTY`).
    """
    excess, hanging = np.zeros(len(diagonal)), np.zeros(len(diagonal), dtype=np.uint8)
    counts, bounds = np.zeros(5, dtype=np.int64), np.zeros(2)
    wrap = np.array([False] * (3 - len(shape)) + list(periodic))
    code, node = _nodes().balance(
        diagonal,
        three(shape),
        wrap,
        face_slots(shape),
        TOLERANCE,
        store,
        excess,
        hanging,
        counts,
        bounds,
    )
    return Balance(
        int(node) if code == WEAK else -1,
        excess if counts[0] else None,
        hanging.astype(bool) if counts[1] else None,
        bool(counts[2]),
        bool(counts[3]),
        bool(counts[4]),
        (float(bounds[0]) if np.isfinite(bounds[0]) else 0.0, float(bounds[1])),
    )


@FORMS.or_twin
def components(
    open_: Sequence[ndarray], periodic: Sequence[bool], fluid: ndarray, held: ndarray
) -> tuple[ndarray, int]:
    """Labels of the connected components of a grid, and the number of those that float.

    Args:
        open_: per axis, whether its faces have a coupling (`diffusion/reference.py`).
        fluid: nodes that are unknowns.
        held: nodes with an excess; so is a node with a coupling beyond the end of an axis. A
            component with neither floats.

    Returns:
        1, 2, ... in the components that float, by their first node, 0 in the others, -1 at nodes
        that are no unknowns.
    """
    shape = fluid.shape
    flat = np.concatenate([np.ascontiguousarray(c).ravel() for c in open_])
    wrap = np.array([False] * (3 - len(shape)) + list(periodic))
    labels = np.zeros(fluid.size, dtype=np.int64)
    number = _nodes().components(
        three(shape),
        wrap,
        face_slots(shape),
        flat.view(np.uint8),
        np.ascontiguousarray(fluid).ravel().view(np.uint8),
        held.ravel().astype(np.uint8),
        labels,
    )
    return labels.reshape(shape), int(number)


@FORMS.or_twin
def embed(A: Entries, ndim: int, default: int = 1) -> tuple[ndarray, ndarray] | None:
    """Places of the rows on a grid of which some nodes are not unknowns, row by row.

    Entries next to the diagonal join neighbours in a line. Of two others the first leads to the
    next line, the second to the next plane. One alone is determined by the ends of others, or else
    is taken for a step of the axis -1 - `default`.

    Args:
        ndim: 2 or 3.

    Returns:
        The number of the connected component of each row, and (rows, 3) its place in it from (0, 0,
        0); None if the entries fit no grid.
    """
    with once():
        from . import places

    n = len(A.diagonal)
    parent, shift = np.arange(n), np.zeros(n, dtype=np.int64)
    plane = WIDE * WIDE if ndim == 3 else 0
    steps = (1, WIDE, plane)
    code = places.embed(*A.arrays, ROUND_OFF, WIDE, plane, steps[default], parent, shift)
    if code != FINE:
        return None
    component, place = np.empty(n, dtype=np.int64), np.empty((n, 3), dtype=np.int64)
    places.settled(parent, shift, WIDE, component, place)
    return component, place


def _rows() -> Any:
    with once():
        from . import cpu

    return cpu


def _nodes() -> Any:
    with once():
        from . import grids

    return grids
