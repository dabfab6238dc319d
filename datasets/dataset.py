"""Data sets of fields on one domain, read lazily from a file or held in memory."""
# Axes: b batch, c and d channels of a frame, t time, *space nodes.

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..batch import Batch
from ..domain import Domain, Points
from ..nearest import did_you_mean
from .sample_numbers import numbers
from .source import Source
from .spec import ROLES, DatasetSpec, even_step
from .windows import Window

_PASS_BYTES = 2**25  # read in one go by a pass over all values


class FieldDataset(torch.utils.data.Dataset):
    """Samples with input (c *space) and target (d *space) on one domain, by default in float32.

    A file with states (fields of an evolution problem) holds trajectories. Its samples are windows
    of trajectories, with input (n_in c *space), target (n_out c *space) and times (n_in + n_out).
    By default there is one window per trajectory: the first frame is the input and all later frames
    are the target. `windowed` selects other windows. Fields of role "input" in such a file are
    constant in time; they are additional channels of every input frame.

    In a file without states, inputs or targets with a time axis are returned with all their frames
    and the times of the frames.

    The data set is safe in DataLoader workers, forked or spawned. The DataLoader calls
    `__getitems__`, which reads a batch at once.

    Attributes:
        domain: the nodes of every field.
        spec: the spec stored in the file; None for a file of another project.
        window: the window of each sample; None for a file without states.
        half_open: the nodes are x_i = i L/n although the axes are not periodic: the left end is
            stored, the right end is not. `domain` cannot express this, and symmetries need it.
        notes: properties that were inferred from the data and are not stated in the file.
    """

    def __init__(
        self,
        source: Source,
        domain: Domain,
        *,
        spec: DatasetSpec | None = None,
        path: Path | None = None,
        dtype: torch.dtype = torch.float32,
        half_open: bool = False,
        notes: tuple[str, ...] = (),
        window: Window | None = None,
        indices: np.ndarray | None = None,
    ) -> None:
        self.source, self.domain, self.spec, self.path = source, domain, spec, path
        self.dtype, self.half_open, self.notes = dtype, half_open, notes
        self._times = torch.tensor(source.times, dtype=dtype)
        if window is None and "state" in source.names:
            window = Window.whole(len(source.times))
        self.window = window
        # Sample i of the file's numbering is window i % starts of trajectory i // starts.
        self._starts = window.num_starts(len(source.times)) if window else 1
        self.indices = np.arange(len(source) * self._starts) if indices is None else indices

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the channels of an input frame."""
        names = self.source.names
        return (*names.get("state", ()), *names.get("input", ()))

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the channels of a target frame."""
        return self.source.names.get("state", self.source.names.get("target", ()))

    @property
    def in_channels(self) -> int:
        """Number of channels of an input frame."""
        return len(self.inputs)

    @property
    def out_channels(self) -> int:
        """Number of channels of a target frame."""
        return len(self.targets)

    @property
    def times(self) -> tuple[float, ...]:
        """Times of the stored frames; () if there is no time axis."""
        return self.source.times

    def uniform_time_step(self) -> float:
        """The time from each stored frame to the next.

        Raises:
            ValueError: there are fewer than two frames, or they are not equally spaced.
        """
        step = even_step(self.times)
        if step is None:
            steps = np.diff(self.times)
            got = f"steps from {steps.min():g} to {steps.max():g}" if len(steps) else "no two times"
            raise ValueError(
                f"{self.path or 'This data set'} must have frames with equal time steps; got "
                f"{got}. Interpolate the frames to equal steps."
            )
        return step

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the equation that the file states, by name: a constant, or an array with
        one number for each sample or trajectory of this view."""
        samples = self._samples()
        return {
            name: p[samples] if isinstance(p, np.ndarray) else p
            for name, p in self.source.parameters.items()
        }

    def parameter(self, name: str) -> Any:
        """A parameter of the equation, such as the viscosity: a constant, or an array with one
        number for each sample or trajectory of this view.

        Raises:
            ValueError: the file does not state it.
        """
        if name not in self.source.parameters:
            stated = ", ".join(self.source.parameters) or "no parameter of its equation"
            raise ValueError(
                f"{self.path or 'This data set'} does not state the parameter {name!r}."
                f"{did_you_mean(name, self.source.parameters)} It states {stated}. Give it when "
                f"you convert the file: --parameter {name}=..., or parameters={{{name!r}: ...}} in "
                f"Python."
            )
        return self.parameters[name]

    @property
    def n_in(self) -> int | None:
        """Number of input frames; None if the input has no time axis."""
        return self.window.n_in if self.window else self._num_frames("input")

    @property
    def n_out(self) -> int | None:
        """Number of target frames; None if the target has no time axis."""
        return self.window.n_out if self.window else self._num_frames("target")

    def _num_frames(self, role: str) -> int | None:
        return len(self._times) if role in self.source.evolving else None

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The given samples as one batch, input (b [t] c *space) and target (b [t] d *space)."""
        return self._read(self.indices[np.asarray(indices, dtype=np.int64)])

    def _read(self, numbers: np.ndarray) -> Batch:
        """The samples with these indices in the file."""
        if self.window:
            return self._windows(*np.divmod(numbers, self._starts), self.window)
        members: dict[str, Any] = {
            role: self.source.fields(role, numbers, self.dtype) for role in self.source.names
        }
        if self.source.evolving:
            # One copy of the times for each role with a time axis: input first, then target.
            row = self._times.repeat(len(self.source.evolving))
            members["times"] = row.repeat(len(numbers), 1)
        return Batch(**members, **self._others(numbers))

    def _others(self, samples: np.ndarray) -> dict[str, Any]:
        """The additional members of a batch of these samples, numbers in the fields' dtype."""
        return {
            name: u.to(self.dtype) if u.is_floating_point() else u
            for name, u in self.source.others(samples).items()
        }

    def _windows(self, samples: np.ndarray, starts: np.ndarray, window: Window) -> Batch:
        """The windows of trajectories `samples` (b,) that begin at frames `starts` (b,)."""
        frames = window.frames(starts)
        first, later = self.source.windows(samples, frames, window.n_in, self.dtype)
        if "input" in self.source.names:
            fixed = self.source.fields("input", samples, self.dtype)[:, None]
            first = torch.cat([first, fixed.expand(-1, window.n_in, *fixed.shape[2:])], 2)
        return Batch(
            input=first,
            target=later,
            times=self._times[torch.from_numpy(frames)],
            **self._others(samples),
        )

    def __getitem__(self, index: int) -> Batch:
        return self.read([index])[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.read(indices)

    def windowed(self, window: Window) -> "FieldDataset":
        """All windows of the trajectories of this data set: sample i is window i mod s of
        trajectory i // s, with s windows per trajectory.

        All windows of every trajectory in this view are used. To hold out trajectories, not
        windows, call `dataset.subset(...)` first and then `windowed`.

        Raises:
            ValueError: the window is longer than the trajectories, or there are no trajectories.
        """
        if self.window is None:
            raise ValueError(
                f"Windows are cut out of trajectories, and {self.path or 'this data set'} has no "
                f"field of role 'state'. Convert it with its trajectories as states."
            )
        starts = window.num_starts(len(self._times))
        numbers = self._samples()[:, None] * starts + np.arange(starts)
        return self._with(self.source, numbers.ravel(), window)

    def trajectories(self, n_in: int | None = None) -> "FieldDataset":
        """One sample per trajectory: n_in input frames (by default the n_in of this view's window),
        then all later frames as target, with this view's stride.

        Raises:
            ValueError: there are no trajectories, or no frame is left for the target.
        """
        if self.window is None:
            return self.windowed(Window())  # raises the error
        return self.windowed(
            Window.whole(len(self._times), n_in or self.window.n_in, self.window.stride)
        )

    def _samples(self) -> np.ndarray:
        """File indices of the samples or trajectories of this view, without repetition."""
        numbers = self.indices // self._starts
        _, first = np.unique(numbers, return_index=True)
        return numbers[np.sort(first)]

    def batches(self, size: int) -> Iterator[Batch]:
        """Iterate over all samples in order, in batches of `size`; the last batch may be smaller.

        Samples in one chunk of the file are read together, so that it is decompressed once.
        """
        rest: Batch | None = None
        chunk = self.source.together if self._starts == 1 else 1
        for part in _in_chunks(self.indices, size, chunk):
            batch = self._read(part)
            pieces = (Batch.cat([rest, batch]) if rest else batch).split(size)
            rest = pieces.pop() if len(pieces[-1]) < size else None
            yield from pieces
        if rest:
            yield rest

    def values(self) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
        """Iterate once over all stored values: the file indices of a block of samples, and a dict
        from channel name to values (b [t] *space). Samples of a block have the same number of
        points, so that there is no padding."""
        roles, space, counts = self.source.names, self.domain.ndim, self.source.counts
        frames = len(self._times) or 1
        num_nodes = self.domain.num_nodes if counts is None else int(counts.max())
        one = 8 * num_nodes * frames * sum(map(len, roles.values()))
        size = max(1, _PASS_BYTES // one)
        blocks = _in_chunks(self._samples(), size, self.source.together)
        for part in blocks if counts is None else _of_one_size(blocks, counts):
            channels: dict[str, Tensor] = {}
            for role, names in roles.items():
                u = self.source.fields(role, part, self.dtype)
                channels |= zip(names, u.unbind(u.ndim - space - 1), strict=True)
            yield part, channels

    def points(self, index: int) -> Points:
        """The points of one sample, with the quadrature weights and the cells of the mesh if the
        file has them.

        Raises:
            ValueError: the data lie on a grid.
        """
        found = self.source.points(int(self.indices[index]) // self._starts)
        if found is None and isinstance(self.domain, Points):
            found = self.domain
        if found is None:
            raise ValueError(f"{self.path or 'This data set'} has no points, but {self.domain}.")
        return found

    def subset(self, indices: Iterable[int]) -> "FieldDataset":
        """The given samples only, in the given order, with the same grid, spec and channels.

        Raises:
            ValueError: an index is out of range.
        """
        chosen = np.fromiter(indices, dtype=np.int64)
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if len(outside):
            raise ValueError(f"The data set has samples 0..{len(self) - 1}; got {outside[0]}.")
        return self._with(self.source, self.indices[chosen], self.window)

    def in_memory(self) -> "FieldDataset":
        """A copy of the data set in memory, for sets much smaller than memory."""
        kept = self._samples()
        held = self.source.in_memory(kept, self.dtype)
        samples, starts = np.divmod(self.indices, self._starts)
        order = np.argsort(kept)
        places = order[np.searchsorted(kept, samples, sorter=order)]
        return self._with(held, places * self._starts + starts, self.window)

    def check(self, roles: Sequence[str] = ROLES) -> None:
        """Read all values of the roles once and check that they are finite, that generated samples
        were solved, and that points and cells are sound.

        Raises:
            ValueError: a field holds NaN or infinity, or the residual of a generated sample is NaN;
                the message names the fields and the samples. Coordinates of points are not finite
                or outside the box, or cells are damaged (`point_checks`).
        """
        unsolved = self.unsolved()
        if unsolved:
            raise ValueError(
                f"{self.path} holds samples that were not solved, or not verified: the residual is "
                f"NaN in sample(s) {numbers(unsolved)}. {self._remedy(unsolved)}"
            )
        try:
            self.source.check(self._samples())
        except ValueError as error:
            raise ValueError(f"{self.path or 'The data set'}: {error}") from None
        names = [n for role, named in self.source.names.items() if role in roles for n in named]
        bad: dict[str, list[int]] = {name: [] for name in names}
        for samples, channels in self.values():
            for name in names:
                rows = (~channels[name].isfinite()).flatten(1).any(1).numpy()
                bad[name] += samples[rows].tolist()
        found = {name: samples for name, samples in bad.items() if samples}
        if found:
            each = "; ".join(f"field {n!r} in sample(s) {numbers(i)}" for n, i in found.items())
            together = sorted({i for samples in found.values() for i in samples})
            dtype = str(self.dtype).removeprefix("torch.")
            raise ValueError(
                f"{self.path or 'The data set'} holds values that are not finite (NaN, infinite, "
                f"or too large for {dtype}): {each}. {self._remedy(together)}"
            )

    def unsolved(self) -> list[int]:
        """Numbers of the generated samples whose residual is NaN, because they were never solved or
        verified; [] for files of other origin, whose residuals are not known."""
        residuals, spec = self.source.residuals(), self.spec
        if residuals is None or spec is None or spec.seed is None or math.isinf(spec.tolerance):
            return []
        samples = self._samples()
        return samples[np.isnan(residuals[samples])].tolist()

    def _remedy(self, samples: Sequence[int]) -> str:
        """What to do, with the command that leaves the samples out, unless none is left."""
        if self.path is None or len(samples) == len(self._samples()):
            return "Correct the values, or generate the file again."
        fields = self.spec.fields if self.spec else ()
        roles = [(f.role, f.name) for f in fields if f.has_space]
        options = [f"--{role} {shlex.quote(name)}" for role, name in roles]
        options.append(f"--without {numbers(samples, shown=None)}")
        return (
            f"Correct the values, or leave these samples out: pdeops data convert "
            f"{shlex.quote(str(self.path))} own.h5 {' '.join(options)}"
        )

    def _with(self, source: Source, indices: np.ndarray, window: Window | None) -> "FieldDataset":
        return type(self)(
            source,
            self.domain,
            spec=self.spec,
            path=self.path,
            dtype=self.dtype,
            half_open=self.half_open,
            notes=self.notes,
            window=window,
            indices=indices,
        )

    def __repr__(self) -> str:
        mapping = f"{', '.join(self.inputs)} -> {', '.join(self.targets)}"
        what = (
            f"samples, {mapping}" if self.window is None else f"windows, {mapping}, {self.window}"
        )
        return f"FieldDataset({len(self)} {what}, {self.domain}, {self.path})"


def _in_chunks(numbers: np.ndarray, size: int, chunk: int) -> Iterator[np.ndarray]:
    """Split the indices, in order, into parts of at least `size`; each part ends at a boundary of
    the file's chunks of `chunk` samples."""
    start = 0
    while start < len(numbers):
        stop = min(start + size, len(numbers))
        while stop < len(numbers) and numbers[stop] // chunk == numbers[stop - 1] // chunk:
            stop += 1
        yield numbers[start:stop]
        start = stop


def _of_one_size(blocks: Iterable[np.ndarray], counts: np.ndarray) -> Iterator[np.ndarray]:
    """The blocks of samples, split where the number of points changes."""
    for block in blocks:
        yield from np.split(block, np.flatnonzero(np.diff(counts[block])) + 1)
