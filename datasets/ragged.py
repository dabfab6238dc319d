"""Samples of different size in one file: numbers of points and cells, and the rows of a sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RaggedSizes:
    """The numbers of points and cells of all samples of a data set, which must be known before its
    file is made.

    Attributes:
        points: (num_samples,) number of points of each sample, at least 1.
        cells: (num_samples,) number of cells of the mesh of each sample; None without meshes.
        corners: number of nodes of each cell.
        weights: whether the quadrature weights of the points are known.

    Raises:
        ValueError: a sample has no point, or meshes are not described for all samples.
    """

    points: Sequence[int] | np.ndarray
    cells: Sequence[int] | np.ndarray | None = None
    corners: int = 0
    weights: bool = False

    def __post_init__(self) -> None:
        points = np.asarray(self.points)
        empty = np.flatnonzero(points < 1)
        if len(empty):
            raise ValueError(
                f"Every sample needs at least one point; sample {empty[0]} has {points[empty[0]]}. "
                f"Leave it out."
            )
        cells = None if self.cells is None else np.asarray(self.cells)
        if cells is not None and (len(cells) != len(points) or cells.min() < 1 or self.corners < 1):
            raise ValueError(
                f"A file has a mesh for each of its {len(points)} samples, with one cell at least "
                f"and a number of corners, or none at all; got {cells.tolist()[:5]} cells of "
                f"{self.corners} corners."
            )

    @property
    def num_points(self) -> int:
        """Number of points of all samples together."""
        return int(np.sum(self.points))

    @property
    def num_cells(self) -> int:
        """Number of cells of all samples together."""
        return 0 if self.cells is None else int(np.sum(self.cells))


def starts_of(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """The first row of each sample, and the number of rows of all samples: (num_samples + 1,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
