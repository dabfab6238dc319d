"""Set-up of an algebraic multigrid hierarchy by compiled loops.

The plain twin is `amg/setup_reference.py`.
"""

from typing import Any

import numpy as np

from . import coarsening, graph, interpolation, layout, products
from .layout import BLOCKS, CSR, DEEPEST, INDEX, Level, blocks_of

ROOM = 1.0  # entries of a product, for each of A; more if that does not suffice


def hierarchy(A: CSR, theta: float, coarsest: int) -> tuple[list[tuple[CSR, CSR, CSR]], CSR]:
    """Same as `amg.hierarchy`."""
    levels: list[tuple[CSR, CSR, CSR]] = []
    while (n := len(A[0]) - 1) > coarsest:
        starts, nothing = np.zeros(n + 1, INDEX), (np.empty(0, INDEX), np.empty(0))
        P, count = prolongation(A, theta) if len(levels) < DEEPEST else ((starts, *nothing), 0)
        R = transposed(P, count)
        levels.append((A, P, R))
        A = galerkin(A, P, R)
    return levels, A


def prolongation(A: CSR, theta: float) -> tuple[CSR, int]:
    """P and its number of columns."""
    starts, columns, values = A
    n, longest = len(starts) - 1, int(np.diff(starts).max(initial=0))
    strong, kind = np.zeros(len(columns), np.int8), np.empty(n, np.int8)
    work = [np.empty(n, np.int32) for _ in range(3)]
    coarsening.strong_couplings(starts, columns, values, theta, work[0], strong)
    head = np.empty(2 * longest + 1, np.int32)
    count = coarsening.splitting(starts, columns, strong, kind, head, *work)
    coarse = np.where(kind == coarsening.COARSE, kind.cumsum(dtype=np.int32) - 1, -1)
    room = layout.LARGEST * n
    P = np.empty(n + 1, INDEX), np.empty(room, INDEX), np.empty(room)
    row = np.empty(2 * longest, INDEX), np.empty(2 * longest)
    hits = np.empty(longest + 1, np.int32), np.empty(longest + 1)
    place = np.full(n, -1, np.int32)
    end = interpolation.interpolation(*A, strong, coarse, place, *row, *hits, *P)
    return (P[0], P[1][:end].copy(), P[2][:end].copy()), count


def galerkin(A: CSR, P: CSR, R: CSR) -> CSR:
    """R A P with R = Pᵀ."""
    n, end = len(R[0]) - 1, 0
    starts, place = np.zeros(n + 1, INDEX), np.empty(n, np.int32)
    upper = np.empty(0, INDEX), np.empty(0)
    room, done = int(ROOM * len(A[1])) + n + products.SPARE, 0
    while True:
        larger = np.empty(room, INDEX), np.empty(room)
        larger[0][:end], larger[1][:end] = upper[0][:end], upper[1][:end]
        upper = larger
        done = products.upper_product(A, P, R, place, done, starts, *upper)
        if done == n:
            break
        room, end = 2 * room, int(starts[done])
    full = 2 * int(starts[n]) - n
    result = np.empty(n + 1, INDEX), np.empty(full, INDEX), np.empty(full)
    products.symmetric(starts, *upper, place, *result)
    return result


def transposed(A: CSR, count: int) -> CSR:
    """Same as `amg.transposed`."""
    end = len(A[1])
    result = np.empty(count + 1, INDEX), np.empty(end, INDEX), np.empty(end)
    products.transpose(*A, *result)
    return result


def near(A: CSR, scattered: float) -> tuple[CSR, np.ndarray | None]:
    """Same as `amg.near`: breadth-first search gives the order (Cuthill & McKee 1969)."""
    starts, columns, _ = A
    n = len(starts) - 1
    if graph.mean_distance(starts, columns) < scattered * n:
        return A, None
    order = np.empty(n, INDEX)
    graph.breadth_first(starts, columns, np.zeros(n, bool), order, np.empty(n, INDEX))
    result = np.empty_like(A[0]), np.empty_like(A[1]), np.empty_like(A[2])
    rank, cursor = np.empty(n, INDEX), np.empty(n, INDEX)
    products.permuted(*A, order, rank, cursor, *result)
    return result, order


def within(A: CSR, root: int) -> tuple[np.ndarray, np.ndarray]:
    """Same as `amg.within`."""
    starts, columns, _ = A
    n = len(starts) - 1
    queue, counts = np.empty(n, INDEX), np.empty(n, INDEX)
    end, radius = graph.search(
        starts, columns, np.uint32(root), np.zeros(n, bool), queue, 0, counts
    )
    return queue[:end], counts[:radius]


def level(A: CSR, P: CSR, R: CSR, dtype: Any) -> Level:
    """Same as `amg.level`."""
    n = len(A[0]) - 1
    blocks = BLOCKS if len(A[1]) >= layout.WIDE else 1
    ends = np.array([hi for _, hi in blocks_of(n, blocks)])
    middle, diagonal, outside = np.empty(n, INDEX), np.empty(n), np.empty(n)
    products.diagonals(*A, ends, middle, diagonal, outside)
    inverse, added = 1 / (diagonal + outside / 2), outside / 2

    def single(csr: CSR) -> CSR:
        return csr[0], csr[1], csr[2].astype(dtype)

    return Level(
        single(A),
        single(P),
        single(R),
        middle,
        inverse.astype(dtype),
        added.astype(dtype),
        blocks,
    )
