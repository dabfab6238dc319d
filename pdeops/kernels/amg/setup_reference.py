"""Set-up of an algebraic multigrid hierarchy in numpy, scipy and lists: twin of `amg/setup.py`."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
from numpy import ndarray

from . import layout
from .layout import (
    BLOCKS,
    CSR,
    DEEPEST,
    INDEX,
    LARGEST,
    SMALL,
    Level,
    arrays_of,
    block_of_each,
    sparse,
)


def hierarchy(A: CSR, theta: float, coarsest: int) -> tuple[list[tuple[CSR, CSR, CSR]], CSR]:
    """Same as `amg.hierarchy`."""
    import scipy.sparse

    levels: list[tuple[CSR, CSR, CSR]] = []
    while (n := len(A[0]) - 1) > coarsest:
        matrix, P = sparse(A, n), scipy.sparse.csr_array((n, 0))
        if len(levels) < DEEPEST:
            S = strong_couplings(matrix, theta)
            P = interpolation(matrix, S, splitting(S))
        levels.append((A, arrays_of(P), arrays_of(P.T)))
        coarse = P.T @ matrix @ P
        A = arrays_of((coarse + coarse.T) / 2)
    return levels, A


def strong_couplings(A: Any, theta: float) -> Any:
    """S[i, j] = 1: i depends strongly on j, -a_ij >= θ max_k(-a_ik) > 0."""
    import scipy.sparse

    A = A.tocoo()
    size = np.where(A.row == A.col, 0.0, np.maximum(-A.data, 0.0))
    largest = np.zeros(A.shape[0])
    np.maximum.at(largest, A.row, size)
    strong = (size > 0) & (size >= theta * largest[A.row])
    ones = np.ones(strong.sum(), np.int8)
    return scipy.sparse.csr_array((ones, (A.row[strong], A.col[strong])), shape=A.shape)


def splitting(S: Any) -> ndarray:
    """Which unknowns are coarse: see `coarsening.splitting`."""
    depends, influences = _rows(S), _rows(S.T.tocsr())
    n = len(depends)
    weight = [len(row) for row in influences]
    undecided = [bool(a or b) for a, b in zip(depends, influences, strict=True)]
    lists: defaultdict[int, dict[int, None]] = defaultdict(dict)  # the latest last
    for i in reversed(range(n)):
        if undecided[i]:
            lists[weight[i]][i] = None
    coarse = np.zeros(n, bool)

    def move(k: int, step: int) -> None:
        del lists[weight[k]][k]
        weight[k] += step
        lists[weight[k]][k] = None

    top = max(lists, default=-1)
    while top >= 0:
        if not lists[top]:
            top -= 1
            continue
        i, _ = lists[top].popitem()
        undecided[i] = False
        coarse[i] = top > 0 or not any(coarse[j] for j in depends[i])
        if top == 0:
            continue
        for j in influences[i]:
            if not undecided[j]:
                continue
            undecided[j] = False
            del lists[weight[j]][j]
            for k in depends[j]:
                if undecided[k]:
                    move(k, 1)
                    top = max(top, weight[k])
        for k in depends[i]:
            if undecided[k] and weight[k]:
                move(k, -1)
    return coarse


def interpolation(A: Any, S: Any, coarse: ndarray) -> Any:
    """P with a row for each unknown and a column for each coarse one: see
    `interpolation.interpolation`."""
    import scipy.sparse

    ends = A.indptr.tolist()
    rows = [
        dict(zip(A.indices[a:b].tolist(), A.data[a:b].tolist(), strict=True))
        for a, b in pairwise(ends)
    ]
    depends = [set(row) for row in _rows(S)]
    number = np.where(coarse, coarse.cumsum() - 1, -1).tolist()
    starts, columns = [0], list[int]()
    values = list[float]()
    for i in range(len(rows)):
        weights = {i: 1.0} if coarse[i] else _weights(i, rows, depends, coarse)
        columns += [number[k] for k in weights]
        values += weights.values()
        starts.append(len(columns))
    shape = len(rows), int(coarse.sum())
    return scipy.sparse.csr_array((np.array(values), columns, starts), shape=shape)


def _weights(
    i: int, rows: list[dict[int, float]], depends: list[set[int]], coarse: ndarray
) -> dict[int, float]:
    """The row of P of a fine unknown, by coarse unknowns."""
    near = {j for j in depends[i] if coarse[j]}
    weights, d = dict.fromkeys(near, 0.0), 0.0
    for j in depends[i] - near:
        row, a = rows[j], rows[i][j]
        through = {k: row[k] for k in near & row.keys() if row[k] < 0}
        if not depends[j] & near:
            others = [k for k in sorted(depends[j]) if coarse[k]]
            through = {k: row[k] for k in [min(others, key=row.__getitem__)]} if others else {}
        for k in through:
            weights.setdefault(k, 0.0)
        back = min(row.get(i, 0.0), 0.0)
        total = back + sum(through.values())
        if not total < 0:
            d += a
            continue
        d += a * back / total
        for k, a_jk in through.items():
            weights[k] += a * a_jk / total
    for j, a in rows[i].items():
        if j in weights:
            weights[j] += a
        elif j != i and j not in depends[i]:
            d += a
    d += rows[i][i]
    d = d if d > 0 else rows[i][i]
    size = max(map(abs, weights.values()), default=0.0)
    large = [k for k in weights if abs(weights[k]) >= SMALL * size and weights[k] != 0]
    kept = sorted(large, key=lambda k: abs(weights[k]))[-LARGEST:]
    part, whole = sum(weights[k] for k in kept), sum(weights.values())
    scale = whole / part if part else 1.0
    return {k: -scale * weights[k] / d for k in kept}


def transposed(A: CSR, count: int) -> CSR:
    """Same as `amg.transposed`."""
    return arrays_of(sparse(A, count).T)


def near(A: CSR, scattered: float) -> tuple[CSR, ndarray | None]:
    """Same as `amg.near`."""
    from scipy.sparse.csgraph import breadth_first_order

    n = len(A[0]) - 1
    rows, graph = np.repeat(np.arange(n), np.diff(A[0])), _graph(A)
    if abs(A[1].astype(np.int64) - rows).sum() / max(len(rows), 1) < scattered * n:
        return A, None
    order, seen = [], np.zeros(n, bool)
    for root in range(n):
        if not seen[root]:
            found = breadth_first_order(graph, root, return_predecessors=False)
            order.append(found)
            seen[found] = True
    permutation = np.concatenate(order).astype(INDEX)
    matrix = sparse(A, n)
    return arrays_of(matrix[permutation][:, permutation]), permutation


def within(A: CSR, root: int) -> tuple[ndarray, ndarray]:
    """Same as `amg.within`."""
    from scipy.sparse.csgraph import breadth_first_order, shortest_path

    graph = _graph(A)
    rows = breadth_first_order(graph, root, return_predecessors=False)
    distance = shortest_path(graph, unweighted=True, indices=root)[rows].astype(np.int64)
    return rows.astype(INDEX), np.bincount(distance).cumsum().astype(INDEX)


def level(A: CSR, P: CSR, R: CSR, dtype: Any) -> Level:
    """Same as `amg.level`."""
    starts, columns, values = A
    n = len(starts) - 1
    blocks = BLOCKS if len(columns) >= layout.WIDE else 1
    block = block_of_each(n, blocks)
    rows = np.repeat(np.arange(n), np.diff(starts))
    middle = np.flatnonzero(rows == columns)
    across = block[rows] != block[columns]
    added = np.bincount(rows[across], abs(values[across]), n) / 2
    inverse = 1 / (values[middle] + added)
    A, P, R = ((one[0], one[1], one[2].astype(dtype)) for one in (A, P, R))
    numbers = inverse.astype(dtype), added.astype(dtype)
    return Level(A, P, R, middle.astype(INDEX), *numbers, blocks)


def _graph(A: CSR) -> Any:
    """The couplings as edges of one length."""
    return sparse((A[0], A[1], np.ones(len(A[2]))), len(A[0]) - 1)


def _rows(S: Any) -> list[list[int]]:
    """The columns of each row."""
    return [part.tolist() for part in np.split(S.indices, S.indptr[1:-1])] if S.shape[0] else []
