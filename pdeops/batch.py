"""What a step of training or evaluation gets: named tensors with the samples along the first axis.

A sample is a `Batch` without that axis; `Batch.collate` stacks samples, padding point clouds of
different size.
"""
# Axes: b batch, t time, c channel, *space nodes, d coordinates, n points, p parameters.

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_OF_POINTS = ("input", "target", "mask", "weights")  # members whose last axis counts points


class Batch:
    """Samples of one domain. A member that a kind of job does not need is not there; asking for one
    that is not there is an error that lists those that are. `check` says whether they fit together.

    Attributes:
        input: (b, c, *space), or (b, t, c, *space) with a time axis.
        target: (b, c, *space), or (b, t, c, *space); of a linear system A e = r the error e.
        times: (b, t), of the frames of `input` and then of those of `target`.
        positions: (b, d, n), coordinates of the nodes where they differ from sample to sample.
        mask: (b, n), False at points that pad a sample; not there where nothing is padded.
        weights: (b, n), quadrature weights of the points, where they are known.
        parameters: (b, p), numbers of the equation.
        operator: the couplings of linear systems at the faces of cells, one tensor (b, *faces) per
            axis, as `kernels.diffusion` takes them.
    """

    input: Tensor
    target: Tensor
    times: Tensor
    positions: Tensor
    mask: Tensor
    weights: Tensor
    parameters: Tensor
    operator: tuple[Tensor, ...]

    def __init__(
        self,
        *,
        input: Tensor | None = None,
        target: Tensor | None = None,
        times: Tensor | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        parameters: Tensor | None = None,
        operator: Sequence[Tensor] | None = None,
    ) -> None:
        given = {
            "input": input,
            "target": target,
            "times": times,
            "positions": positions,
            "mask": mask,
            "weights": weights,
            "parameters": parameters,
            "operator": None if operator is None else tuple(operator),
        }
        self.__dict__.update({name: value for name, value in given.items() if value is not None})

    def __getattr__(self, name: str) -> Any:
        if name not in Batch.__annotations__:
            raise AttributeError(f"A batch has no member {name!r}.")
        raise AttributeError(
            f"This batch has no {name}; it has {', '.join(self.members()) or 'no members'}. Give "
            f"{name} where the batch is made, or choose data that have it."
        )

    def __contains__(self, name: str) -> bool:
        """Whether a member of this name is there."""
        return name in self.__dict__

    def get(self, name: str) -> Any:
        """The member of this name, or None."""
        return self.__dict__.get(name)

    def replace(self, **members: Any) -> "Batch":
        """The same with other or further members; None takes one away."""
        return Batch(**{**self.members(), **members})

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
        changed: dict[str, Any] = {
            name: change(value) if isinstance(value, Tensor) else tuple(map(change, value))
            for name, value in self.members().items()
        }
        return Batch(**changed)

    def members(self) -> dict[str, Any]:
        """Those that are there, by name."""
        return dict(self.__dict__)

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
            if name in self and "positions" not in self:
                raise ValueError(f"A batch with {name} needs positions: they are those of points.")
        if "positions" in self:
            n = self.positions.shape[-1]
            sizes = {name: self.get(name).shape[-1] for name in _OF_POINTS if name in self}
            if set(sizes.values()) - {n}:
                raise ValueError(
                    f"The positions are those of {n} points; got fields of {sizes} points. Give "
                    f"positions (batch, coordinate, point) and fields (batch, channel, point)."
                )
        return self

    @staticmethod
    def cat(batches: Sequence["Batch"]) -> "Batch":
        """One batch after the other, all with the same members."""
        joined: dict[str, Any] = {}
        for name, value in batches[0].members().items():
            parts = [getattr(b, name) for b in batches]
            if isinstance(value, Tensor):
                joined[name] = torch.cat(parts)
            else:
                joined[name] = tuple(torch.cat(each) for each in zip(*parts, strict=True))
        return Batch(**joined)

    @staticmethod
    def collate(samples: "Batch | Sequence[Batch]") -> "Batch":
        """One batch of samples without their first axis: the `collate_fn` of a DataLoader.

        Point clouds of different size are padded with zeros at the end, and `mask` says which
        points are real. What a data set has read in one go is a batch already and stays as it is.

        Raises:
            ValueError: no samples, or samples that do not fit together.
        """
        if isinstance(samples, Batch):
            return samples
        if not samples:
            raise ValueError("No batch of no samples; give at least one.")
        for sample in samples:
            if not isinstance(sample, Batch):
                raise ValueError(
                    f"A data set yields samples such as Batch(input=..., target=...); got "
                    f"{type(sample).__name__}. Return a Batch from its __getitem__."
                )
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
    counts = [s.positions.shape[-1] for s in samples]
    largest = max(counts)
    if min(counts) == largest:
        return list(samples)
    padded = []
    for sample, n in zip(samples, counts, strict=True):
        if "mask" not in sample:
            sample = sample.replace(mask=torch.ones(n, dtype=torch.bool))
        names = [name for name in (*_OF_POINTS, "positions") if name in sample]
        wider = {name: F.pad(sample.get(name), (0, largest - n)) for name in names}
        padded.append(sample.replace(**wider))
    return padded
