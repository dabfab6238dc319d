"""What a step of training or evaluation gets: named tensors with the samples along the first axis.

A sample is a `Batch` without that axis; `Batch.collate` stacks samples, padding point clouds of
different size.
"""
# Axes: b batch, t time, c channel, *space nodes, d coordinates, n points, p parameters.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Samples of one domain; what a kind of job does not need is None. `check` says whether the
    members fit together.

    Attributes:
        input: (b, c, *space), or (b, t, c, *space) with a time axis.
        target: (b, c, *space), or (b, t, c, *space); of a linear system A e = r the error e.
        times: (b, t), of the frames of `input` and then of those of `target`.
        positions: (b, d, n), coordinates of the nodes where they differ from sample to sample.
        mask: (b, n), False at points that pad a sample; None where there is no padding.
        weights: (b, n), quadrature weights of the points; None where they are not known.
        parameters: (b, p), numbers of the equation.
        operator: the couplings of linear systems at the faces of cells, one tensor (b, *faces) per
            axis, as `kernels.diffusion` takes them.
    """

    input: Tensor | None = None
    target: Tensor | None = None
    times: Tensor | None = None
    positions: Tensor | None = None
    mask: Tensor | None = None
    weights: Tensor | None = None
    parameters: Tensor | None = None
    operator: tuple[Tensor, ...] | None = None

    def __len__(self) -> int:
        """Number of samples."""
        return len(next(self.tensors()))

    def __getitem__(self, index: Any) -> "Batch":
        """The samples of a slice or list of numbers; of one number, the sample without its axis."""
        return self.map(lambda u: u[index])

    def to(self, *place: Any, **options: Any) -> "Batch":
        """The same on another device; `torch.Tensor.to` says what it takes."""
        return self.map(lambda u: u.to(*place, **options))

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory; the DataLoader calls this."""
        return self.map(Tensor.pin_memory)

    def split(self, size: int) -> list["Batch"]:
        """Pieces of so many samples in their order; the last may be shorter."""
        return [self[start : start + size] for start in range(0, len(self), size)]

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same members, each tensor changed."""
        changed: dict[str, Any] = {}
        for name, value in self.members().items():
            whole = isinstance(value, Tensor)
            changed[name] = change(value) if whole else tuple(change(u) for u in value)
        return Batch(**changed)

    def members(self) -> dict[str, Any]:
        """Those that are there, by name."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def tensors(self) -> Iterator[Tensor]:
        """All tensors of all members.

        Raises:
            ValueError: there is none.
        """
        members = self.members()
        if not members:
            raise ValueError("This batch is empty: it has no member. Give input, target, ...")
        for value in members.values():
            yield from (value,) if isinstance(value, Tensor) else value

    def check(self) -> "Batch":
        """Itself, if its members fit together.

        Raises:
            ValueError: members of different numbers of samples, or positions, mask or weights that
                do not fit the fields.
        """
        counts = {
            name: len(v if isinstance(v, Tensor) else v[0]) for name, v in self.members().items()
        }
        if len(set(counts.values())) != 1:
            raise ValueError(f"All members of a batch hold the same samples; got {counts}.")
        for name in ("mask", "weights"):
            member = getattr(self, name)
            if member is not None and self.positions is None:
                raise ValueError(f"A batch with {name} needs positions: they are those of points.")
        if self.positions is not None:
            n = self.positions.shape[-1]
            sizes = {
                name: getattr(self, name).shape[-1]
                for name in ("input", "target", "mask", "weights")
                if getattr(self, name) is not None
            }
            if set(sizes.values()) - {n}:
                raise ValueError(
                    f"The positions are those of {n} points; got fields of {sizes} points. Give "
                    f"positions (batch, coordinate, point) and fields (batch, channel, point)."
                )
        return self

    @staticmethod
    def collate(samples: Sequence["Batch"]) -> "Batch":
        """One batch of samples without their first axis. Point clouds of different size are padded
        with zeros at the end, and `mask` says which points are real.

        Raises:
            ValueError: no samples, or samples that do not fit together.
        """
        if not samples:
            raise ValueError("No batch of no samples; give at least one.")
        names = set(samples[0].members())
        for sample in samples:
            if set(sample.members()) != names:
                raise ValueError(
                    f"All samples of a batch have the same members; got {sorted(names)} and "
                    f"{sorted(sample.members())}."
                )
        if "positions" in names:
            samples = _padded(samples)
            names = set(samples[0].members())
        try:
            return Batch(**{name: _stack([getattr(s, name) for s in samples]) for name in names})
        except RuntimeError as error:
            raise ValueError(
                f"The samples of a batch must have the same shapes ({error}). Only clouds of "
                f"points, which have positions, may differ in size."
            ) from None


def _stack(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.stack(list(values))
    return tuple(torch.stack(list(each)) for each in zip(*values, strict=True))


def _padded(samples: Sequence[Batch]) -> list[Batch]:
    """All clouds of the size of the largest, with a mask where any was smaller."""
    counts = [s.positions.shape[-1] for s in samples if s.positions is not None]
    largest = max(counts)
    if min(counts) == largest:
        return list(samples)
    padded = []
    for sample, n in zip(samples, counts, strict=True):
        mask = torch.ones(n, dtype=torch.bool) if sample.mask is None else sample.mask
        changed: dict[str, Any] = {
            name: F.pad(getattr(sample, name), (0, largest - n))
            for name in ("input", "target", "positions", "weights")
            if getattr(sample, name) is not None
        }
        padded.append(replace(sample, mask=F.pad(mask, (0, largest - n)), **changed))
    return padded
