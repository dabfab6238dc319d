"""Pairs of fields x -> y on one grid, read lazily from a file or held in memory.

Axes: b batch, c channel, x y space.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..batch import Batch
from .layouts.sources import Source, TensorSource
from .spec import DatasetSpec
from .windows import Window


class FieldDataset(torch.utils.data.Dataset):
    """Samples with input (c *space) and target (d *space) on one domain, float32 unless asked
    otherwise.

    Safe in DataLoader workers, forked or spawned. A batch is read in one go (`__getitems__`, which
    the DataLoader calls).

    Attributes:
        domain: the nodes of every field.
        spec: what the file says of itself; None for a file of another project.
        in_channels, out_channels: number of input and target fields.
        inputs, targets: their names.
        half_open: the nodes are x_i = i L/n although the axes are not periodic: the left end is
            stored, the right one not. `domain` cannot say so; symmetries need it.
        notes: what was concluded from the data rather than read in the file.
    """

    n_in: int | None = None
    n_out: int | None = None
    window: Window | None = None
    times: tuple[float, ...] = ()

    def __init__(
        self,
        source: Source,
        domain: Any,
        *,
        spec: DatasetSpec | None = None,
        path: Path | None = None,
        dtype: torch.dtype = torch.float32,
        half_open: bool = False,
        notes: tuple[str, ...] = (),
        indices: np.ndarray | None = None,
    ) -> None:
        self.source, self.domain, self.spec, self.path = source, domain, spec, path
        self.dtype, self.half_open, self.notes = dtype, half_open, notes
        self.indices = np.arange(len(source)) if indices is None else indices

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the channels of x."""
        return self.source.inputs

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the channels of y."""
        return self.source.targets

    @property
    def in_channels(self) -> int:
        """Number of channels of x."""
        return len(self.inputs)

    @property
    def out_channels(self) -> int:
        """Number of channels of y."""
        return len(self.targets)

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The given samples as one batch, input (b c *space) and target (b d *space)."""
        return self.source.read(self.indices[np.asarray(indices, dtype=np.int64)], self.dtype)

    def __getitem__(self, index: int) -> Batch:
        return self.read([index])[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.read(indices)

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in their order, `size` at a time; the last batch may be short.

        Neighbours in a chunk of the file are read in one go, so that it is decompressed once.
        """
        rest: Batch | None = None
        for part in self._in_chunks(size):
            batch = self.source.read(part, self.dtype)
            pieces = (Batch.cat([rest, batch]) if rest else batch).split(size)
            rest = pieces.pop() if len(pieces[-1]) < size else None
            yield from pieces
        if rest:
            yield rest

    def _in_chunks(self, size: int) -> Iterator[np.ndarray]:
        """Our samples' numbers in the file, cut where its chunks end, at least `size` at a time."""
        chunk = self.source.together
        start = 0
        while start < len(self):
            stop = min(start + size, len(self))
            while stop < len(self) and (
                self.indices[stop] // chunk == self.indices[stop - 1] // chunk
            ):
                stop += 1
            yield self.indices[start:stop]
            start = stop

    def subset(self, indices: Iterable[int]) -> "FieldDataset":
        """The given samples only, in the given order, with the same grid, spec and channels.

        Raises:
            ValueError: an index is out of range.
        """
        chosen = np.fromiter(indices, dtype=np.int64)
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if len(outside):
            raise ValueError(f"The data set has samples 0..{len(self) - 1}; got {outside[0]}.")
        return self._with(self.source, self.indices[chosen])

    def windowed(self, window: Window) -> "FieldDataset":
        """The windows of all trajectories as samples."""
        raise ValueError(f"{self} has no axis of time; leave the window out.")

    def in_memory(self) -> "FieldDataset":
        """The same samples held in memory, for sets much smaller than it."""
        everything = self.read(range(len(self)))
        source = TensorSource(everything.input, everything.target, self.inputs, self.targets)
        return self._with(source, np.arange(len(self)))

    def check(self) -> None:
        """Read everything once.

        Raises:
            ValueError: a field holds NaN or infinity; the message names field and sample, and
            counts.
        """
        bad: list[tuple[str, int]] = []
        for start, batch in zip(range(0, len(self), 64), self.batches(64), strict=True):
            for fields, names in ((batch.input, self.inputs), (batch.target, self.targets)):
                for channel, name in enumerate(names):
                    u = fields[:, channel].flatten(1)
                    rows = (~u.isfinite()).any(1).nonzero().flatten()
                    bad += [(name, int(self.indices[start + int(i)])) for i in rows]
        if bad:
            name, index = bad[0]
            raise ValueError(
                f"{self.path or 'The data'} holds values that are not finite: first in field "
                f"{name!r} of sample {index}, {len(bad)} damaged field(s) in all. Leave these "
                f"samples out, or generate the file again."
            )

    def _with(self, source: Source, indices: np.ndarray) -> "FieldDataset":
        return type(self)(
            source,
            self.domain,
            spec=self.spec,
            path=self.path,
            dtype=self.dtype,
            half_open=self.half_open,
            notes=self.notes,
            indices=indices,
        )

    def __repr__(self) -> str:
        mapping = f"{', '.join(self.inputs)} -> {', '.join(self.targets)}"
        return f"FieldDataset({len(self)} samples, {mapping}, {self.domain}, {self.path})"


# What two data sets must share, and how each is read off; a caller may let "resolution" differ.
_SHARED: dict[str, Callable[[FieldDataset], Any]] = {
    "dimension": lambda d: d.domain.ndim,
    "input channels": lambda d: d.in_channels,
    "target channels": lambda d: d.out_channels,
    "box": lambda d: d.domain.extent,
    "boundary": lambda d: tuple(b.value for b in d.domain.boundary),
    "placement": lambda d: tuple(p.value for p in d.domain.placement),
    "resolution": lambda d: d.domain.shape,
    "problem": lambda d: d.spec and (d.spec.name, d.spec.kind, d.spec.parameters),
}


def compatible(train: FieldDataset, test: FieldDataset, *, may_differ: Sequence[str] = ()) -> None:
    """Raise a ValueError, with what differs, unless one model can be trained on one and tested on
    the other.

    `may_differ` lists what the caller knows to differ: "resolution", "problem", ... (see the
    message). A file without a spec fits any problem.
    """
    for name, read in _SHARED.items():
        expected, got = read(train), read(test)
        if name in may_differ or expected == got or (name == "problem" and None in (expected, got)):
            continue
        raise ValueError(
            f"{test.path or 'The test data'} does not fit {train.path or 'the training data'}: "
            f"{name} {expected} there, {got} here. Choose a file of the same kind."
        )
