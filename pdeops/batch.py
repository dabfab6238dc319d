"""Batches for training and evaluation: named tensors with the samples along the first axis.

A sample is a `Batch` without this axis; `Batch.collate` stacks samples and pads point clouds of
different size.
"""
# Axes: b batch, t time, c channel, *space nodes, d coordinates, n points, p parameters.

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

_OF_POINTS = ("input", "target", "mask", "weights")  # members whose last axis counts points


class Batch:
    """Samples on one domain. Every member is optional; reading an absent member raises an error
    that lists the members present. `check` verifies that the members are consistent.

    Attributes:
        input: (b, c, *space), or (b, t, c, *space) with a time axis.
        target: (b, c, *space), or (b, t, c, *space); for a linear system A e = r the error e.
        times: (b, t), times of the frames of `input`, followed by those of `target`.
        positions: (b, d, n), coordinates of the nodes if they differ from sample to sample.
        mask: (b, n), False at padding; absent if no sample is padded.
        weights: (b, n), quadrature weights of the points, if known.
        parameters: (b, p), parameters of the equation.
        operator: couplings of linear systems at the cell faces, one tensor (b, *faces) per axis, in
            the layout of `kernels.diffusion`.
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
        """Whether the batch has a member of this name."""
        return name in self.__dict__

    def get(self, name: str) -> Any:
        """The member of this name, or None."""
        return self.__dict__.get(name)

    def replace(self, **members: Any) -> "Batch":
        """A copy with members replaced or added; None removes a member."""
        return Batch(**{**self.members(), **members})

    def __len__(self) -> int:
        """Number of samples."""
        return len(next(self.tensors()))

    def __getitem__(self, index: Any) -> "Batch":
        """A batch for a slice or list of indices; a sample without the first axis for an int."""
        return self.map(lambda u: u[index])

    def to(self, *place: Any, **options: Any) -> "Batch":
        """The batch on another device or in another dtype, which masks keep; arguments as for
        `torch.Tensor.to`."""

        def moved(u: Tensor) -> Tensor:
            there = u.to(*place, **options)
            return there if u.is_floating_point() else there.to(u.dtype)

        return self.map(moved)

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory; the DataLoader calls this method."""
        return self.map(Tensor.pin_memory)

    def split(self, size: int) -> list["Batch"]:
        """Batches of `size` consecutive samples; the last may be smaller."""
        return [self[start : start + size] for start in range(0, len(self), size)]

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with the function applied to every tensor."""
        changed: dict[str, Any] = {
            name: change(value) if isinstance(value, Tensor) else tuple(map(change, value))
            for name, value in self.members().items()
        }
        return Batch(**changed)

    def members(self) -> dict[str, Any]:
        """The members present, by name."""
        return dict(self.__dict__)

    def tensors(self) -> Iterator[Tensor]:
        """All tensors of all members.

        Raises:
            ValueError: the batch has no member.
        """
        members = self.members()
        if not members:
            raise ValueError("This batch is empty: it has no member. Give input, target, ...")
        for value in members.values():
            yield from (value,) if isinstance(value, Tensor) else value

    def check(self) -> "Batch":
        """Return self if its members are consistent.

        Raises:
            ValueError: the members differ in the number of samples, or positions, mask or weights
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
        """The concatenation of batches.

        Raises:
            ValueError: there is no batch, or the batches have different members.
        """
        names = {tuple(sorted(batch.members())) for batch in batches}
        if len(names) != 1:
            raise ValueError(
                f"Concatenation needs one or more batches with the same members; got "
                f"{' and '.join(map(str, sorted(names))) or 'none'}."
            )
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
        """Stack samples into one batch; the `collate_fn` of a DataLoader.

        Point clouds of different size are padded with zeros at the end, and `mask` marks the real
        points. A `Batch`, as returned by `__getitems__` of a data set, is returned unchanged.

        Raises:
            ValueError: there are no samples, or the samples are inconsistent.
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
            samples = _masked(samples)
            names = set(samples[0].members())
        of_points = {*_OF_POINTS, "positions"} if "positions" in names else set[str]()
        try:
            members = {
                name: _stack([getattr(s, name) for s in samples], of_points=name in of_points)
                for name in names
            }
            batch = Batch(**members)
        except RuntimeError as error:
            raise ValueError(
                f"The samples of a batch must have the same shapes ({error}). Only clouds of "
                f"points, which have positions, may differ in size."
            ) from None
        return batch.check()


def padded(values: Sequence[Tensor]) -> Tensor:
    """The stack (b, ..., n) of tensors (..., n_i) that differ in their last axis, with zeros at the
    end of the shorter ones; n is the largest n_i."""
    largest = max(u.shape[-1] for u in values)
    out = values[0].new_zeros(len(values), *values[0].shape[:-1], largest)
    for row, u in zip(out, values, strict=True):
        row[..., : u.shape[-1]] = u
    return out


def _stack(values: Sequence[Any], *, of_points: bool) -> Any:
    """The members of the samples with the samples along the first axis; those of points padded."""
    if not isinstance(values[0], Tensor):
        return tuple(torch.stack(list(each)) for each in zip(*values, strict=True))
    if of_points and len({u.shape[:-1] for u in values}) == 1:
        return padded(values)
    return torch.stack(list(values))


def _masked(samples: Sequence[Batch]) -> Sequence[Batch]:
    """The samples; with a mask each if their clouds differ in size."""
    counts = [s.positions.shape[-1] for s in samples]
    if len(set(counts)) == 1:
        return samples
    return [
        s if "mask" in s else s.replace(mask=torch.ones(n, dtype=torch.bool))
        for s, n in zip(samples, counts, strict=True)
    ]
