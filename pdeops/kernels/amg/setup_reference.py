"""Set-up of a level of algebraic multigrid with dense matrices: twin of `amg/setup.py`."""

from typing import Any

import numpy as np
from numpy import ndarray

from .interpolation import LARGEST, SMALL


def strong_couplings(A: ndarray, theta: float) -> ndarray:
    """S[i, j]: i depends strongly on j, -a_ij >= θ max_k(-a_ik) > 0."""
    negative = np.maximum(-A * (1 - np.eye(len(A))), 0)
    largest = negative.max(axis=1, keepdims=True, initial=0)
    return (negative > 0) & (negative >= theta * largest)


def splitting(S: ndarray) -> ndarray:
    """Which unknowns are coarse: see `coarsening.splitting`."""
    n = len(S)
    weight = S.sum(axis=0)
    lists: list[list[int]] = [[] for _ in range(2 * n + 1)]
    undecided: ndarray = np.logical_or(S.any(axis=0), S.any(axis=1))
    for i in range(n):
        if undecided[i]:
            lists[weight[i]].append(i)
    coarse = np.zeros(n, bool)

    def move(k: Any, step: int) -> None:
        lists[weight[k]].remove(k)
        weight[k] += step
        lists[weight[k]].insert(0, k)

    while any(lists):
        top = max(w for w, entries in enumerate(lists) if entries)
        i = lists[top].pop(0)
        undecided[i] = False
        coarse[i] = top > 0 or not coarse[S[i]].any()
        if not top:
            continue
        for j in np.flatnonzero(S[:, i] & undecided):
            undecided[j] = False
            lists[weight[j]].remove(j)
            for k in np.flatnonzero(S[j] & undecided):
                move(k, 1)
        for k in np.flatnonzero(S[i] & undecided):
            if weight[k]:
                move(k, -1)
    return coarse


def interpolation(A: ndarray, S: ndarray, coarse: ndarray) -> ndarray:
    """P with a row for each unknown and a column for each coarse one: see
    `interpolation.interpolation`."""
    n = len(A)
    P = np.zeros((n, n))
    negative = np.minimum(A, 0)
    for i in range(n):
        if coarse[i]:
            P[i, i] = 1.0
            continue
        near = S[i] & coarse
        reached, d, weights = near.copy(), A[i, i], np.zeros(n)
        for j in np.flatnonzero(S[i] & ~coarse):
            through = near & (negative[j] < 0)
            if not (S[j] & near).any():
                through[:] = False
                if (S[j] & coarse).any():
                    through[np.where(S[j] & coarse, A[j], 0).argmin()] = True
            reached |= through
            total = negative[j, i] + negative[j, through].sum()
            if total < 0:
                weights[through] += A[i, j] * A[j, through] / total
                d += A[i, j] * negative[j, i] / total
            else:
                d += A[i, j]
        weights[reached] += A[i, reached]
        other = ~reached & ~S[i]
        other[i] = False
        d += A[i, other].sum()
        P[i] = _truncated(weights) / -(d if d > 0 else A[i, i])
    return P[:, coarse]


def _truncated(weights: ndarray) -> ndarray:
    size = abs(weights)
    kept = (size >= SMALL * size.max(initial=0)) & (size > 0)
    for k in np.argsort(size)[:-LARGEST]:
        kept[k] = False
    part = weights[kept].sum()
    scale = weights.sum() / part if part else 1.0
    return np.where(kept, scale * weights, 0.0)
