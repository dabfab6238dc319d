"""Levels of geometric multigrid and their memory layout."""

from collections.abc import Sequence

import numpy as np

LEVEL = np.dtype(
    [
        ("n", np.int64, 3),  # unknowns per axis; a plane is (n, 1, m)
        ("u", np.int64),  # offset of u with the zeros around it
        ("b", np.int64),  # offset of the right-hand side; on the finest level b is the argument
    ]
)


def layout(shapes: Sequence[Sequence[int]]) -> tuple[np.ndarray, int]:
    """The table of levels (`LEVEL`), finest first, and the length of the store."""
    table, used = np.zeros(len(shapes), LEVEL), 0
    for depth, (level, shape) in enumerate(zip(table, shapes, strict=True)):
        l, n, m = (shape[0], 1, shape[1]) if len(shape) == 2 else shape
        level["n"], level["u"] = (l, n, m), used
        used += (l + 2) * (n if len(shape) == 2 else n + 2) * (m + 2)
        level["b"] = used
        used += l * n * m if depth else 0
    return table, used
