"""The boundary conditions of a cycle, the nodes that a coarse grid keeps, the order of its weights.

Only integers and tensors: an operation of torch takes nothing else.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

ZERO = "constant"  # torch's name for padding with zeros
MODES = (ZERO, "circular", "reflect", "replicate")  # of the ghost nodes beyond the ends of an axis


class Ghosts(NamedTuple):
    """Ghost nodes of each axis: arguments of `ghosts.add_ghosts`."""

    modes: tuple[str | None, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]


class Padding(NamedTuple):
    """Nodes added to each axis before a convolution: zeros by the convolution itself, which makes
    no copy, the others as ghost nodes."""

    zeros: tuple[int, ...]
    ghosts: Ghosts


class Geometry:
    """What the stencils of all levels have in common.

    Coarse node j of an axis is fine node 2j if its first node is kept, else 2j + 1, so n nodes
    become ceil(n/2) or floor(n/2).

    Attributes:
        modes: for each axis one of MODES.
        kept: for each axis 1 if the first node is kept, else 0.
    """

    def __init__(self, modes: Sequence[str], kept: Sequence[int]) -> None:
        self.modes, self.kept = tuple(modes), tuple(kept)
        self.ndim = len(self.modes)
        self.ones = (1,) * self.ndim

    def coarse(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the next coarser grid."""
        return tuple((n + k) // 2 for n, k in zip(shape, self.kept, strict=True))

    @cached_property
    def stencil(self) -> Padding:
        """One node at both ends."""
        zeros = tuple(int(m == ZERO) for m in self.modes)
        ghosts = tuple(None if z else m for z, m in zip(zeros, self.modes, strict=True))
        return Padding(zeros, Ghosts(ghosts, self.ones, self.ones))

    @cached_property
    def restriction(self) -> Padding:
        """One node at the right end, and at the left one if the first node is kept."""
        zeros = tuple(k * int(m == ZERO) for k, m in zip(self.kept, self.modes, strict=True))
        ghosts = tuple(None if z else m for z, m in zip(zeros, self.modes, strict=True))
        return Padding(zeros, Ghosts(ghosts, self.kept, self.ones))

    @cached_property
    def prolongation(self) -> Padding:
        """After the last coarse node: none, the other end, or the mirror image. The transposed
        convolution drops the first and the last of its nodes where `zeros` is 1."""
        ghost = {ZERO: None, "reflect": "replicate"}
        ghosts = tuple(ghost.get(m, m) for m in self.modes)
        return Padding(self.kept, Ghosts(ghosts, (0,) * self.ndim, self.ones))

    def integers(self) -> list[int]:
        """The geometry as an argument of an operation of torch; `from_integers` is the inverse."""
        return [*map(MODES.index, self.modes), *self.kept]

    @classmethod
    def from_integers(cls, numbers: Sequence[int]) -> "Geometry":
        ndim = len(numbers) // 2
        return cls([MODES[i] for i in numbers[:ndim]], numbers[ndim:])


class Level(NamedTuple):
    """The weights of one level, or their gradients; R and P are None on the coarsest one."""

    A: Any
    pre: tuple[Any, ...]
    post: tuple[Any, ...]
    R: Any = None
    P: Any = None


class Plan(NamedTuple):
    """Number of levels and of smoothing steps: before and after the correction, on the coarsest
    level."""

    levels: int
    before: int
    after: int
    coarse: int

    def split(self, weights: Sequence[Any]) -> list[Level]:
        """Levels, finest first, from A, pre, post, R, P of each level in a row."""
        rest, found = list(weights), []
        for level in range(self.levels):
            coarsest = level == self.levels - 1
            before, after = (self.coarse, 0) if coarsest else (self.before, self.after)
            A, *S = (rest.pop(0) for _ in range(1 + before + after))
            transfers = () if coarsest else (rest.pop(0), rest.pop(0))
            found.append(Level(A, tuple(S[:before]), tuple(S[before:]), *transfers))
        if rest:
            raise ValueError(
                f"{self} has {len(weights) - len(rest)} weights; got {len(weights)}. Give A, the "
                f"smoothers before and after, R and P of each level, finest first."
            )
        return found


def joined(levels: Sequence[Level]) -> list[Tensor]:
    """The inverse of `Plan.split`."""
    return [w for l in levels for w in (l.A, *l.pre, *l.post, *(() if l.R is None else (l.R, l.P)))]


def channels_last(u: Tensor) -> Tensor:
    """u with channels last in memory; a vector as it is."""
    return u.contiguous(memory_format=torch.channels_last) if u.ndim == 4 else u
