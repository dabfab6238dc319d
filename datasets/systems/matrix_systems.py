"""Systems with sparse matrices of many kinds, drawn anew in every epoch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...batch import Batch, padded
from ...nearest import did_you_mean
from ..problems.random_fields import sample_generator
from .matrices import KINDS

if TYPE_CHECKING:
    import scipy.sparse

TRAINED = (
    "stencil_jumps", "stencil_anisotropic", "triangles", "triangles_jumps",
    "triangles_anisotropic", "elasticity", "graph",
)  # fmt: skip


class MatrixSystems(torch.utils.data.Dataset):
    """Systems A x = b with symmetric positive definite matrices of many kinds, sizes and patterns.

    Sample i of epoch e depends on (seed, e, i) alone. By default, A is scaled to a unit diagonal,
    which changes nothing for networks that are invariant to diagonal scaling. Networks that assume
    that A nearly maps constants to zero need it unscaled. The error e is white noise. A
    sample is `operator`, the rows, columns and values of the entries of A, and e as `target`.
    Samples of one batch are padded with entries 0 at (0, 0) and with zeros of e, so that the added
    rows are empty.

    Args:
        sizes: unknowns of the smallest and of the largest matrix; the size of an epoch is
            log-uniform between them.
        num_samples: number of samples per epoch.
        kinds: names in `matrices.KINDS`, drawn in turn.
        unseen: kinds of the second validation set, which training does not draw.
        diagonal: "unit" or "given".

    Raises:
        ValueError: the diagonal is neither, a kind is unknown, no kind is given, or the sizes are
            not 16 <= low <= high.
    """

    ndim = 1  # a vector of unknowns has one axis

    def __init__(
        self,
        *,
        sizes: Sequence[int] = (300, 3000),
        num_samples: int = 64,
        kinds: Sequence[str] = TRAINED,
        unseen: Sequence[str] = ("nine_points", "tetrahedra", "grid3d"),
        diagonal: str = "unit",
        seed: int = 0,
    ) -> None:
        if diagonal not in ("unit", "given"):
            raise ValueError(f'diagonal is "unit" or "given"; got {diagonal!r}.')
        for kind in (*kinds, *unseen):
            if kind not in KINDS:
                raise ValueError(
                    f"Unknown kind of matrix {kind!r}.{did_you_mean(kind, KINDS)} Choose from "
                    f"{', '.join(KINDS)}."
                )
        if not kinds or len(sizes) != 2 or not 16 <= sizes[0] <= sizes[1]:
            raise ValueError(
                f"One or more kinds and sizes [low, high] with 16 <= low <= high are needed; got "
                f"{list(kinds)}, {list(sizes)}."
            )
        self.sizes, self.kinds, self.unseen = list(sizes), list(kinds), list(unseen)
        self.num_samples, self.seed, self.epoch = num_samples, seed, 0
        self.diagonal = diagonal

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> Batch:
        A = self.matrix(index).tocoo()
        random = sample_generator(self.seed + 1, self._number(index))
        rows, columns = (torch.from_numpy(i.astype(np.int64)) for i in A.coords)
        error = torch.from_numpy(random.standard_normal(A.shape[0]))
        return Batch(operator=(rows, columns, torch.from_numpy(A.data)), target=error)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return self.collate([self[i] for i in indices])

    @staticmethod
    def collate(samples: Sequence[Batch]) -> Batch:
        """One batch of systems of different sizes, padded."""
        parts = zip(*(s.operator for s in samples), strict=True)
        operator: list[Tensor] = [padded(part) for part in parts]
        return Batch(operator=operator, target=padded([s.target for s in samples]))

    def matrix(self, index: int) -> "scipy.sparse.csr_array":
        """A of one sample."""
        random = sample_generator(self.seed, self._number(index))
        low, high = np.log(self.sizes)
        size = sample_generator(self.seed + 2, self.epoch).uniform(low, high)
        kind = self.kinds[index % len(self.kinds)]
        A = KINDS[kind](round(np.exp(size)), random)
        return unit_diagonal(A) if self.diagonal == "unit" else A

    def set_epoch(self, epoch: int) -> None:
        """Switch to the samples and the size of this epoch."""
        self.epoch = epoch

    def held_out(self, num_samples: int) -> "MatrixSystems":
        """Different samples of the same kinds, of the largest size."""
        return self._other(self.kinds, num_samples)

    def held_out_kinds(self, num_samples: int) -> "MatrixSystems | None":
        """Samples of the kinds that are not drawn in training; None if there are none."""
        return self._other(self.unseen, num_samples) if self.unseen else None

    def _other(self, kinds: Sequence[str], num_samples: int) -> "MatrixSystems":
        arguments: dict[str, Any] = {"kinds": kinds, "unseen": (), "num_samples": num_samples}
        arguments["diagonal"] = self.diagonal
        return type(self)(sizes=[self.sizes[1]] * 2, seed=self.seed + 2**31, **arguments)

    def _number(self, index: int) -> int:
        return self.epoch * self.num_samples + index


def unit_diagonal(A: "scipy.sparse.csr_array") -> "scipy.sparse.csr_array":
    """D^-1/2 A D^-1/2 with the diagonal D of A; 1 in its place for an empty row."""
    import scipy.sparse

    d = A.diagonal()
    s = 1 / np.sqrt(np.where(d > 0, d, 1.0))
    scaled = scipy.sparse.csr_array(A, copy=True)
    scaled.data *= s[scaled.indices] * np.repeat(s, np.diff(scaled.indptr))
    return scaled
