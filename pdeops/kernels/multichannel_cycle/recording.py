"""The cycle on small levels as a table: each line is one convolution between places of a buffer.

`passes.py` runs once on places instead of tensors and leaves the lines of the forward and of the
backward pass. `triton_table.py` computes all of them in one launch, `TableSteps` in plain torch.
Weight gradients are sums over all samples and are computed afterwards from the fields in the
buffer.

**Bytes**: 8 to 20 fields of at most 256 nodes; with 24 channels in float32 one has 24 kB and the
cycle of one sample half a megabyte at most, more than the 228 kB of a multiprocessor's shared
memory but a hundredth of the cache of the device. So the fields go through the caches, and a
launch per cycle replaces one per step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import passes, reference
from .geometry import ZERO, Geometry, Level, joined
from .steps import Steps

SMALL = 256  # nodes of a level from which the rest of the cycle is one table
STENCIL, RESTRICTION, PROLONGATION, SUM = range(4)
MAX_TERMS, NO_TERM = 2, -1


class Place(NamedTuple):
    """A field in the buffer: numbers before it for each sample, nodes, channels."""

    at: int
    shape: tuple[int, ...]
    channels: int

    @property
    def size(self) -> int:
        """Numbers of one sample."""
        return self.shape[0] * self.shape[1] * self.channels

    def view(self, buffer: Tensor, batch: int) -> Tensor:
        """The field, (b, c, X, Y), channels last."""
        flat = buffer.narrow(0, self.at * batch, self.size * batch)
        return flat.view(batch, *self.shape, self.channels).movedim(-1, 1)


class Weight(NamedTuple):
    """A weight in `packed`: numbers before it, and its channels in the order of torch."""

    at: int
    first: int
    second: int


class Line(NamedTuple):
    """out = sign W * u + the terms. `reversed` is for the adjoint of a stencil."""

    kind: int
    u: Place
    out: Place
    W: Weight
    sign: int = 1
    terms: tuple[Place, ...] = ()
    reversed: bool = False

    def integers(self) -> list[int]:
        """The line of the table, in the order in which `triton_table.run_table` reads it."""
        at, first, second = self.W
        # P, the adjoint of R and those of stencils read fields with the first axis of channels.
        reads_first = self.kind == PROLONGATION or self.reversed
        w_i, w_o = (second, 1) if reads_first else (1, second)
        node = first * second
        w = (at + 8 * node, -node) if self.reversed else (at, node)
        terms = [t.at for t in self.terms] + [NO_TERM] * (MAX_TERMS - len(self.terms))
        u, out = ([p.at, *p.shape, p.channels] for p in (self.u, self.out))
        return [self.kind, self.sign, *u, *out, *terms, *w, w_i, w_o]


class Recorder:
    """Steps on places: the same methods as `steps.Steps`, each of which appends lines.

    Gradients in weights are calls of the methods of `Steps`, to be made later: (method, fields,
    weight).
    """

    def __init__(self, geometry: Geometry, size: int = 0) -> None:
        self.geometry, self.size = geometry, size
        self.lines: list[Line] = []

    def place(self, shape: Sequence[int], channels: int) -> Place:
        """The next free place."""
        place = Place(self.size, tuple(shape), channels)
        self.size += place.size
        return place

    def _line(self, kind: int, u: Place, W: Weight, shape: Sequence[int], **how: Any) -> Place:
        forward = kind == PROLONGATION or how.get("reversed", False)
        out = self.place(shape, W.second if forward else W.first)
        self.lines.append(Line(kind, u, out, W, **how))
        return out

    def stencil(self, u: Place, W: Weight, **how: Any) -> Place:
        return self._line(STENCIL, u, W, u.shape, **how)

    def smooth(self, u: Place, f: Place, A: Weight, S: Weight) -> tuple[Place, Place]:
        r = self.stencil(u, A, sign=-1, terms=(f,))
        return self.stencil(r, S, terms=(u,)), r

    def restrict(self, u: Place, f: Place, A: Weight, R: Weight) -> tuple[Place, Place]:
        r = self.stencil(u, A, sign=-1, terms=(f,))
        return self._line(RESTRICTION, r, R, self.geometry.coarse(r.shape)), r

    def correct(self, u: Place, e: Place, P: Weight) -> Place:
        return self._line(PROLONGATION, e, P, u.shape, terms=(u,))

    def stencil_adjoint(self, g: Place, W: Weight, terms: Sequence[Place] = ()) -> Place:
        total = self.stencil(g, W, reversed=True, terms=tuple(terms[:MAX_TERMS]))
        for term in terms[MAX_TERMS:]:
            out = self.place(total.shape, total.channels)
            self.lines.append(Line(SUM, g, out, W, terms=(total, term)))
            total = out
        return total

    def smooth_adjoint(self, g: Place, A: Weight, S: Weight) -> tuple[Place, Place]:
        df = self.stencil_adjoint(g, S)
        return df, self.stencil(df, A, sign=-1, reversed=True, terms=(g,))

    def restrict_adjoint(self, g: Place, du: Place, A: Weight, R: Weight) -> tuple[Place, Place]:
        df = self._line(PROLONGATION, g, R, du.shape)
        return df, self.stencil(df, A, sign=-1, reversed=True, terms=(du,))

    def correct_adjoint(self, g: Place, P: Weight) -> Place:
        return self._line(RESTRICTION, g, P, self.geometry.coarse(g.shape))

    def stencil_weight(self, *fields: Any) -> tuple[Any, ...]:
        return ("stencil_weight", *fields)

    def restrict_weight(self, *fields: Any) -> tuple[Any, ...]:
        return ("restrict_weight", *fields)

    def correct_weight(self, *fields: Any) -> tuple[Any, ...]:
        return ("correct_weight", *fields)

    def minus_sum(self, terms: list[Any]) -> list[Any]:
        return terms

    def whole(self, *_: Any) -> None:
        return None

    whole_backward = whole


@dataclass(frozen=True)
class Recording:
    """Both passes of a cycle.

    Attributes:
        weights: places of the weights in `packed`.
        f, u, g, df: places of the arguments and results.
        size, size_backward: numbers of the buffer for each sample, without and with the fields of
            the backward pass, which come after the others.
        gradients: those in the weights, levels of calls (see `Recorder`).
    """

    weights: tuple[Weight, ...]
    f: Place
    u: Place
    g: Place
    df: Place
    size: int
    size_backward: int
    forward: tuple[Line, ...]
    backward: tuple[Line, ...]
    gradients: list[Level]


@lru_cache(maxsize=64)
def record(
    integers: tuple[int, ...], shape: tuple[int, ...], channels: int, shapes: tuple[Level, ...]
) -> Recording:
    """The cycle of `geometry.from_integers(integers)` on f with these nodes and channels.

    Args:
        shapes: levels of the two numbers of channels of each weight.
    """
    geometry = Geometry.from_integers(integers)
    at, places = 0, []
    for first, second in joined(shapes):
        places.append(Weight(at, first, second))
        at += 9 * first * second
    levels = like(shapes, places)
    steps = Recorder(geometry)
    f = steps.place(shape, channels)
    u, kept = passes.forward(steps, f, levels)
    back = Recorder(geometry, steps.size)
    g = back.place(u.shape, u.channels)
    df, gradients = passes.backward(back, g, f, kept, levels)
    lines = tuple(steps.lines), tuple(back.lines)
    sizes = steps.size, back.size
    return Recording(tuple(places), f, u, g, df, *sizes, *lines, gradients)


def recording_of(f: Tensor, levels: Sequence[Level], geometry: Geometry) -> Recording:
    """That of the cycle on the levels of f."""
    shapes = like(levels, [tuple(w.shape[:2]) for w in joined(levels)])
    return record(tuple(geometry.integers()), tuple(f.shape[2:]), f.shape[1], tuple(shapes))


def is_small(f: Tensor, levels: Sequence[Level], geometry: Geometry) -> bool:
    """Whether the table serves: few nodes on two axes whose adjoints are the convolutions of a
    line. Other than zeros, ghost nodes have this only on periodic axes of even lengths."""
    shape = tuple(f.shape[2:])
    if len(shape) != 2 or shape[0] * shape[1] > SMALL:
        return False
    for _ in levels[1:]:
        for n, mode in zip(shape, geometry.modes, strict=True):
            if not (mode == ZERO or (mode == "circular" and n % 2 == 0)):
                return False
        shape = geometry.coarse(shape)
    return all(mode in (ZERO, "circular") for mode in geometry.modes)


def like(levels: Sequence[Level], entries: Sequence[Any]) -> list[Level]:
    """The entries, of `joined`, as levels of the same kind."""
    rest, found = list(entries), []
    for level in levels:
        number = 1 + len(level.pre) + len(level.post) + 2 * (level.R is not None)
        A, *S = rest[:number]
        del rest[:number]
        transfers = (S.pop(-2), S.pop(-1)) if level.R is not None else ()
        found.append(Level(A, tuple(S[: len(level.pre)]), tuple(S[len(level.pre) :]), *transfers))
    return found


def packed(levels: Sequence[Level]) -> Tensor:
    """All weights in one array, (node of the stencil, first, second) each."""
    return torch.cat([w.permute(2, 3, 0, 1).reshape(-1) for w in joined(levels)])


def gradients_of(
    recording: Recording, buffer: Tensor, batch: int, levels: Sequence[Level], steps: Steps
) -> list[Level]:
    """The gradients in the weights, from the fields in the buffer."""
    by_place = dict(zip(recording.weights, joined(levels), strict=True))

    def call(request: Any) -> Tensor:
        if isinstance(request, list):
            return steps.minus_sum([call(r) for r in request])
        method, u, g, W = request
        views = (p.view(buffer, batch) for p in (u, g))
        return getattr(steps, method)(*views, by_place[W])

    return like(levels, [call(request) for request in joined(recording.gradients)])


class TableSteps(Steps):
    """The steps, with the small levels as a table in plain torch: the twin of
    `triton_table.run_table`."""

    def whole(self, f: Tensor, levels: Sequence[Level]) -> tuple[Tensor, list[Tensor]] | None:
        if not is_small(f, levels, self.geometry):
            return None
        rec, b = recording_of(f, levels, self.geometry), len(f)
        buffer = f.new_empty(b * rec.size)
        rec.f.view(buffer, b).copy_(f)
        self.run(rec.forward, rec, buffer, b, levels)
        return rec.u.view(buffer, b), [buffer]

    def whole_backward(
        self, g: Tensor, f: Tensor, kept: list[Tensor], levels: Sequence[Level]
    ) -> tuple[Tensor, list[Level]] | None:
        if not is_small(f, levels, self.geometry):
            return None
        rec, b = recording_of(f, levels, self.geometry), len(f)
        buffer = f.new_empty(b * rec.size_backward)
        buffer[: b * rec.size] = kept.pop()
        rec.g.view(buffer, b).copy_(g)
        self.run(rec.backward, rec, buffer, b, levels)
        return rec.df.view(buffer, b), gradients_of(rec, buffer, b, levels, self)

    def run(
        self,
        lines: tuple[Line, ...],
        recording: Recording,
        buffer: Tensor,
        batch: int,
        levels: Sequence[Level],
    ) -> None:
        """Compute the lines, from and to the buffer."""
        plain, geometry = Steps(self.geometry), self.geometry
        by_place = dict(zip(recording.weights, joined(levels), strict=True))
        for line in lines:
            u, out, W = line.u.view(buffer, batch), line.out.view(buffer, batch), by_place[line.W]
            if line.kind == SUM:
                value = torch.zeros_like(out)
            elif line.kind == RESTRICTION:
                value = reference.restriction(u, W, geometry)
            elif line.kind == PROLONGATION:
                value = reference.prolongation(u, W, geometry, line.out.shape)
            else:
                value = plain.stencil_adjoint(u, W) if line.reversed else plain.stencil(u, W)
            value = line.sign * value
            for term in line.terms:
                value += term.view(buffer, batch)
            out.copy_(value)
