"""Sparse approximate inverses in numpy and scipy: twin of `cpu.py`, `layout.py` and `messages.py`.

Arguments and results are those of `approximate_inverse/__init__.py`.
"""

from typing import Any

import numpy as np
from numpy import ndarray

from .limits import LONGEST, LONGEST_SORTED, WINDOW

_POWERS = 10


def factored(matrix: Any, key: ndarray) -> ndarray:
    """Same as `approximate_inverse.factored`: a dense solve for each row."""
    A = _matrix(matrix)
    starts, columns, _ = matrix
    values = np.zeros(len(columns))
    for i in range(len(key)):
        places = np.arange(starts[i], starts[i + 1])
        J = columns[places]
        before = _precedes(key, J, i)
        if before.sum() >= LONGEST:
            before[:] = False
        kept = np.concatenate([places[before], places[i == J]])
        J = columns[kept]
        A_JJ, unit = A[J][:, J].toarray(), np.zeros(len(J))
        unit[-1] = 1
        definite = np.linalg.eigvalsh(A_JJ)[0] > 0
        y = np.linalg.solve(A_JJ, unit) if definite else np.full(len(J), np.nan)
        values[kept] = y / np.sqrt(y[-1])
    return values


class Inverse:
    """Same as `approximate_inverse.inverse`: the iteration of `chebyshev.coefficients`."""

    def __init__(
        self,
        A: Any,
        factor: Any,
        order: ndarray,
        scale: ndarray,
        epsilon: float,
        steps: ndarray,
    ) -> None:
        import scipy.sparse

        one = scipy.sparse.eye_array(len(scale), format="csr")
        G, GT = (one, one) if factor is None else map(_matrix, factor)
        self._A, self._G, self._GT = (B.astype(scale.dtype) for B in (_matrix(A), G, GT))
        self._order, self._scale = order, scale
        self._epsilon, self.steps = epsilon, steps.astype(scale.dtype)

    def run(self, b: ndarray, x: ndarray) -> None:
        """x = M b; b and x have any floating dtype."""
        scaled = self._scale * b[self._order].astype(self._scale.dtype)
        y = self._GT @ scaled
        d = z = self.steps[0][0] * y
        for first, carry in self.steps[1:]:
            d = carry * d + first * (y - self._inner(z))
            z = z + d
        image = (1 - self._epsilon) * (self._G @ z) + self._epsilon * scaled
        x[self._order] = self._scale * image

    def largest(self, x: ndarray, powers: int) -> float:
        """|B x| for B = Gᵀ Â G and x of norm one after `powers` - 1 steps of the power method; x is
        in the order of memory."""
        x = x.astype(self._scale.dtype)
        for _ in range(powers):
            x = self._inner(x / np.linalg.norm(x))
        return float(np.linalg.norm(x))

    def _inner(self, z: ndarray) -> ndarray:
        """Gᵀ Â G z."""
        return self._GT @ (self._A @ (self._G @ z))


def inverse(
    A: Any, factor: Any, order: ndarray, scale: ndarray, epsilon: float, steps: ndarray
) -> Inverse:
    """Same as `approximate_inverse.inverse`."""
    return Inverse(A, factor, order, scale, epsilon, steps)


def spectral_bound(matrix: Any) -> float:
    """Same as `approximate_inverse.spectral_bound`."""
    size, largest = abs(_matrix(matrix)), 1.0
    x = np.ones(size.shape[0])
    for _ in range(_POWERS):
        y = size @ x
        largest = float((y / x).max())
        x = y / largest
    return largest


def squares(matrix: Any, scale: ndarray) -> ndarray:
    """Same as `approximate_inverse.squares`."""
    return _scaled(matrix, scale).power(2).sum(1)


def renumbered(matrix: Any, key: ndarray, scale: ndarray) -> tuple[ndarray, Any]:
    """Same as `approximate_inverse.renumbered`."""
    starts, columns, _ = matrix
    rows = _rows(starts)
    before, after = (
        np.bincount(rows[found], minlength=len(key))
        for found in (_precedes(key, columns, rows), _precedes(key, rows, columns))
    )
    order = _breadth_first(starts, columns)
    for lengths in (after, before):  # stable, so that the last one dominates
        for begin in range(0, len(order), WINDOW):
            window = order[begin : begin + WINDOW]
            shorter = -np.minimum(lengths[window], LONGEST_SORTED)
            order[begin : begin + WINDOW] = window[np.argsort(shorter, kind="stable")]
    A = _scaled(matrix, scale)[order][:, order]
    A.sort_indices()
    return order, (A.indptr, A.indices, A.data)


def triangle(matrix: Any, key: ndarray) -> Any:
    """Same as `approximate_inverse.triangle`."""
    starts, columns, values = matrix
    rows = _rows(starts)
    kept = (rows == columns) | _precedes(key, columns, rows)
    ends = np.bincount(rows[kept], minlength=len(key)).cumsum()
    return np.concatenate([[0], ends]).astype(starts.dtype), columns[kept], values[kept]


def has_symmetric_pattern(starts: ndarray, columns: ndarray) -> bool:
    """Same as `approximate_inverse.has_symmetric_pattern`."""
    pattern = _matrix((starts, columns, np.ones(len(columns))))
    return (pattern != pattern.T).nnz == 0


def features(starts: ndarray, columns: ndarray, size: ndarray) -> ndarray:
    """Same as `approximate_inverse.features`."""
    first = starts[:-1]
    sums, squares = np.add.reduceat(size, first), np.add.reduceat(size * size, first)
    largest = np.maximum.reduceat(size, first)
    return np.column_stack([sums, squares, largest, np.diff(starts) - 1]).astype(np.float32)


def affine(x: ndarray, weight: ndarray, bias: ndarray) -> ndarray:
    """Same as `approximate_inverse.affine`."""
    return x[:, : len(weight)] @ weight + bias


def received(graph: Any, here: ndarray, there: ndarray, edge: ndarray) -> ndarray:
    """Same as `approximate_inverse.received`."""
    starts, _, size, _ = graph
    return np.add.reduceat(size[:, None] * _messages(graph, here, there, edge), starts[:-1])


def on_edges(
    graph: Any, here: ndarray, there: ndarray, edge: ndarray, head: ndarray, key: ndarray
) -> ndarray:
    """Same as `approximate_inverse.on_edges`."""
    starts, columns, size, _ = graph
    outputs = _messages(graph, here, there, edge) @ head
    return np.where(_precedes(key, columns, _rows(starts)), outputs, np.zeros_like(size))


def _messages(graph: Any, here: ndarray, there: ndarray, edge: ndarray) -> ndarray:
    """relu(here_i + there_j + edge_0 |â_ij| + edge_1 log|â_ij|) for each entry."""
    starts, columns, size, logs = graph
    sums = here[_rows(starts)] + there[columns] + size[:, None] * edge[0] + logs[:, None] * edge[1]
    return np.maximum(sums, 0)


def _breadth_first(starts: ndarray, columns: ndarray) -> ndarray:
    """Unknowns by their distance from the first of their component."""
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    pattern = _matrix((starts, columns, np.ones(len(columns))))
    _, component = connected_components(pattern, directed=False)
    roots = np.sort(np.unique(component, return_index=True)[1])
    return np.concatenate(
        [breadth_first_order(pattern, r, return_predecessors=False) for r in roots]
    )


def _precedes(key: ndarray, j: Any, i: Any) -> ndarray:
    """Whether unknown j comes before i: by the key, and by the number where keys are equal."""
    return (key[j] < key[i]) | ((key[j] == key[i]) & (j < i))


def _scaled(matrix: Any, scale: ndarray) -> Any:
    """S A S."""
    starts, columns, values = matrix
    return _matrix((starts, columns, values * scale[_rows(starts)] * scale[columns]))


def _rows(starts: ndarray) -> ndarray:
    """The row of each entry."""
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts))


def _matrix(arrays: Any) -> Any:
    import scipy.sparse

    starts, columns, values = arrays
    return scipy.sparse.csr_array((values, columns, starts), shape=(len(starts) - 1,) * 2)
