"""The structure of a sparse matrix in numpy and scipy: twin of `recognition/cpu.py`.

Arguments and results are those of `recognition/__init__.py`; any order of the entries would do.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from . import FAR, MOST, ROUND_OFF, TOLERANCE, Balance, Entries, Pairs, check_range
from .layout import HELD, PENALTY, split_faces, three


def csr_of(A: Entries) -> Any:
    """The matrix of the entries."""
    import scipy.sparse

    n = len(A.diagonal)
    return scipy.sparse.csr_array((A.values, A.columns.astype(np.int64), A.starts), shape=(n, n))


def entries(matrix: Any) -> Entries:
    """Same as `recognition.entries`."""
    if matrix.nnz:
        check_range(matrix.indices, matrix.shape[0])
    csr = matrix.astype(np.float64).copy()
    csr.sum_duplicates()
    largest = abs(csr).max(axis=1).toarray().ravel()
    arrays = csr.indptr.astype(np.int64), csr.indices.astype(np.uint32), csr.data
    rows = np.repeat(np.arange(len(largest)), np.diff(csr.indptr))
    wrong = rows[~np.isfinite(csr.data)]
    not_finite = int(wrong[0]) if wrong.size else -1
    return Entries(*arrays, csr.diagonal(), largest, not_finite)


def pairs(A: Entries, tolerance: float = TOLERANCE) -> Pairs:
    """Same as `recognition.pairs`; the first entries are those of the lowest row."""
    csr = csr_of(A)
    gap = abs(csr - csr.T).tocoo()
    differs = gap.data > tolerance * np.minimum(A.largest[gap.row], A.largest[gap.col])
    coo = csr.tocoo()
    size = ROUND_OFF * np.minimum(A.largest[coo.row], A.largest[coo.col])
    upper = (abs(coo.data) > size) & (coo.col > coo.row)
    distances = np.unique((coo.col - coo.row)[upper]).tolist()
    return Pairs(
        _first(gap.row, gap.col, differs),
        _first(coo.row, coo.col, upper & (coo.data > 0)),
        distances if len(distances) <= FAR else None,
    )


def _first(rows: ndarray, columns: ndarray, chosen: ndarray) -> tuple[int, int] | None:
    where = sorted(zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True))
    return where[0] if where else None


def node_distances(A: Entries, width: int, period: int) -> list[int] | None:
    """Same as `recognition.node_distances`."""
    coo = csr_of(A).tocoo()
    kept = abs(coo.data) > ROUND_OFF * np.minimum(A.largest[coo.row], A.largest[coo.col])
    i, j = (k[kept] // width % period for k in (coo.row.astype(np.int64), coo.col.astype(np.int64)))
    distances = np.unique((j - i)[j > i]).tolist()
    return distances if len(distances) <= MOST else None


def totals(A: Entries) -> tuple[ndarray, ndarray, tuple[int, int] | None]:
    """Same as `recognition.totals`."""
    csr = csr_of(A)
    coo = csr.tocoo()
    minor = coo.data**2 > (1 + 1e-12) * A.diagonal[coo.row] * A.diagonal[coo.col]
    minor &= (coo.row != coo.col) & (abs(coo.data) > A.diagonal[coo.row])
    signed, absolute = csr.sum(axis=1), abs(csr)
    absolute.setdiag(0)  # a large diagonal entry must not cancel
    return signed, absolute.sum(axis=1), _first(coo.row, coo.col, minor)


def linked(A: Entries) -> ndarray:
    """Same as `recognition.linked`."""
    from scipy.sparse.csgraph import connected_components

    csr = csr_of(A)
    csr.eliminate_zeros()
    _, component = connected_components(csr, directed=False)
    first = np.unique(component, return_index=True)[1]
    return first[component]


def arrange(
    A: Entries,
    shape: Sequence[int],
    slots: ndarray,
    size: int,
    sign: float,
    position: ndarray | None = None,
) -> tuple[ndarray, tuple[int, int] | None]:
    """Same as `recognition.arrange`."""
    grid, store = three(shape), np.zeros(size)
    nodes = np.arange(len(A.diagonal)) if position is None else position
    coo = csr_of(A).tocoo()
    low, high = nodes[coo.row], nodes[coo.col]
    small = abs(coo.data) <= ROUND_OFF * np.minimum(A.largest[coo.row], A.largest[coo.col])
    kept = (high > low) & (coo.data != 0) & ~(small & (sign < 0) & (coo.data > 0))
    x, y = (np.array(np.unravel_index(k, grid)) for k in (low, high))
    placed = np.zeros(len(low), dtype=bool)
    for slot in slots:
        here = kept & (y - x == slot[1:4, None]).all(axis=0)
        store[slot[4] + slot[5:] @ x[:, here]] = sign * coo.data[here]
        placed |= here
    wrong = kept & ~placed & ~small
    return store, _first(coo.row, coo.col, wrong)


def balance(
    diagonal: ndarray, shape: Sequence[int], periodic: Sequence[bool], store: ndarray
) -> Balance:
    """Same as `recognition.balance`."""
    centre, sides = diagonal.reshape(shape), []
    for axis, f in enumerate(split_faces(store, shape)):
        for side in (0, 1):
            c = f.take(range(side, shape[axis] + side), axis)
            beyond = np.roll(centre, 1 - 2 * side, axis)
            edge = np.zeros(shape, dtype=bool)
            if not periodic[axis]:
                edge.swapaxes(0, axis)[-side] = True
            wall = (c == 0) & ~edge & (beyond == 0) & (not periodic[axis])
            sides.append((c.copy(), edge & (c == 0), wall, (c == 0) & ~edge))
    total = sum(c for c, _, _, _ in sides)
    surplus, bound = centre - total, TOLERANCE * (abs(centre) + total)
    weak = np.flatnonzero((surplus < -bound).ravel())
    if weak.size:
        return Balance(int(weak[0]), None, None, False, False, False, (0.0, 0.0))
    surplus = np.where(surplus > bound, surplus, 0)
    ends = sum(edge.astype(int) for _, edge, _, _ in sides)
    hollow = sum(closed.astype(int) for *_, closed in sides) > 0
    degree = sum((c > 0).astype(int) for c, _, _, _ in sides)
    held = hollow & (degree > 0) & (ends == 0) & (surplus > HELD * total)
    ends = np.where((surplus > PENALTY * total) & (total > 0), 0, ends)
    walls = sum(wall.astype(int) for _, _, wall, _ in sides)
    share = surplus / np.maximum(ends + walls, 1)
    excess = np.where((ends == 0) | (walls > 0), surplus - share * ends, 0)
    for axis, f in enumerate(split_faces(store, shape)):
        if not periodic[axis]:
            lines = f.swapaxes(0, axis)
            shares = np.where(ends > 0, share, 0).swapaxes(0, axis)
            lines[0], lines[-1] = shares[0], shares[-1]
    hanging = (degree == 1) & (surplus == 0)
    values = store[store > 0]
    return Balance(
        -1,
        excess.ravel() if excess.any() else None,
        hanging.ravel() if hanging.any() else None,
        any(bool(closed.any()) for *_, closed in sides),
        bool(((degree == 0) & (surplus == 0)).any()),
        bool(held.any()),
        (float(values.min(initial=np.inf)) if values.size else 0.0, float(values.max(initial=0))),
    )


def components(
    open_: Sequence[ndarray], periodic: Sequence[bool], fluid: ndarray, held: ndarray
) -> tuple[ndarray, int]:
    """Same as `recognition.components`."""
    import scipy.sparse
    from scipy.sparse.csgraph import connected_components

    index, held = np.arange(fluid.size).reshape(fluid.shape), held.copy()
    pairs_ = []
    for axis, c in enumerate(open_):
        c, at, ends = (a.swapaxes(0, axis) for a in (c, index, held))
        pairs_.append((at[:-1][c[1:-1]], at[1:][c[1:-1]]))
        if periodic[axis]:
            pairs_.append((at[-1][c[0]], at[0][c[0]]))
        else:
            ends[0] |= c[0]
            ends[-1] |= c[-1]
    i, j = (np.concatenate(side) for side in zip(*pairs_, strict=True))
    graph = scipy.sparse.coo_array((np.ones(len(i)), (i, j)), shape=(fluid.size,) * 2)
    _, component = connected_components(graph, directed=False)
    first = np.unique(component, return_index=True)[1]
    wet, held = fluid.ravel(), held.ravel()
    floats = np.zeros(len(first), dtype=bool)
    floats[component[wet]] = True
    floats[component[held & wet]] = False
    number = np.zeros(len(first), dtype=np.int64)
    order = [c for c in np.argsort(first) if floats[c]]
    number[order] = np.arange(1, len(order) + 1)
    labels = np.where(wet, number[component], -1).reshape(fluid.shape)
    return labels, len(order)


def embed(A: Entries, ndim: int, default: int = 1) -> tuple[ndarray, ndarray] | None:
    """Same as `recognition.embed`, by a search from the first row of each component; only where
    every coupling is determined by its two ends (`default` is not used)."""
    n = len(A.diagonal)
    steps = _steps(A, ndim)
    if steps is None:
        return None
    place, component = np.zeros((n, 3), dtype=np.int64), np.full(n, -1)
    for first in range(n):
        if component[first] >= 0:
            continue
        number, queue = component.max() + 1, deque([first])
        component[first] = number
        while queue:
            i = queue.popleft()
            for j, step in steps[i]:
                there = place[i] + step
                if component[j] < 0:
                    component[j], place[j] = number, there
                    queue.append(j)
                elif (place[j] != there).any():
                    return None
        inside = component == number
        place[inside] -= place[inside].min(axis=0)
    return component, place


def _steps(A: Entries, ndim: int) -> list[list[tuple[int, ndarray]]] | None:
    """Per row its neighbours and the steps to them."""
    unit = np.eye(3, dtype=np.int64)[::-1]  # to the next in the line, line, plane
    csr = csr_of(A)
    csr.eliminate_zeros()
    n = len(A.diagonal)
    others = [csr.indices[csr.indptr[i] : csr.indptr[i + 1]].astype(np.int64) for i in range(n)]
    far = {
        (i, side): [j for j in others[i] if side * (j - i) > 1]
        for i in range(n)
        for side in (1, -1)
    }
    if max(map(len, far.values())) > ndim - 1:
        return None
    found: list[list[tuple[int, ndarray]]] = [[] for _ in range(n)]

    def connect(i: int, j: int, axis: int) -> None:
        found[i].append((j, unit[axis]))
        found[j].append((i, -unit[axis]))

    for i in range(n):
        if i + 1 in others[i]:
            connect(i, i + 1, 0)
        for j in far[i, 1]:
            up, down = far[i, 1], far[j, -1]
            if ndim == 2:
                connect(i, j, 1)
            elif len(up) == 2 or len(down) == 2:
                axis = 1 + up.index(j) if len(up) == 2 else 2 - down.index(i)
                connect(i, j, axis)
            else:
                return None
    return found
