"""Commands for error messages: each is tried on the arrays at hand before it is suggested."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from ..containers.store import Store
from .chosen import SPACE

Roles = Mapping[str, Sequence[str]]
Axes = dict[str, str]

_MAX_TRIES = 200


def command(store: Store, roles: Roles, attempt: Callable[[Axes], Any]) -> str | None:
    """The command that converts these arrays with plausible axes, the first that `attempt` accepts;
    None if none is. For arrays in memory, the argument `axes` in Python."""
    names = [(name, role) for role, named in roles.items() for name in named]
    choices = [list(plausible(store.arrays[name].shape, role)) for name, role in names]
    for tried, axes in enumerate(product(*choices)):
        if tried == _MAX_TRIES:
            break
        by_name = {name: ",".join(a) for (name, _), a in zip(names, axes, strict=True)}
        try:
            attempt(by_name)
        except ValueError:
            continue
        return text(store, roles, by_name)
    return None


def text(store: Store, roles: Roles, axes: Axes) -> str:
    """The command with these roles and axes, or `axes=...` for arrays in memory."""
    if store.path is None:
        return f"axes={axes}"
    options = [f"--{role} {shlex.quote(n)}" for role, named in roles.items() for n in named]
    same = set(axes.values())
    pairs = [f"{n}={a}" for n, a in axes.items()] if len(same) > 1 else list(same)
    options += [f"--axes {shlex.quote(pair)}" for pair in pairs]
    return " ".join(("pdeops data convert", shlex.quote(str(store.path)), "own.h5", *options))


def plausible(shape: tuple[int, ...], role: str) -> Iterator[tuple[str, ...]]:
    """Axes that an array of this shape and role may have, the most likely first.

    Samples come first or last, times second or last, and channels are the shortest axis. A state of
    two axes is one trajectory.
    """
    n = len(shape)
    if role == "state":
        yield from _of_trajectories(shape)
        return
    for num_space in (2, 1, 3):
        space = SPACE[:num_space]
        rest = n - num_space - 1
        if rest == 0:
            yield ("sample", *space)
            yield (*space, "sample")
        if rest == 1:
            yield from _with_channel(shape, space)
            yield ("sample", *space, "time")
            yield ("sample", "time", *space)
        if rest == 2:
            yield ("sample", "time", "channel", *space)


def _of_trajectories(shape: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    """Axes of states; an axis of channels only if the third is shorter than half of the others."""
    n = len(shape)
    if n == 2:
        yield from (("x", "time"), ("time", "x"))
        return
    short = n > 3 and shape[2] <= min(shape[3:]) / 2
    for num_channels in (1, 0) if short else (0, 1):
        num_space = n - 2 - num_channels
        if num_space in (1, 2, 3):
            space, channel = SPACE[:num_space], ("channel",) * num_channels
            yield ("sample", "time", *channel, *space)
            yield ("sample", *channel, *space, "time")
            yield (*space, *channel, "time", "sample")


def _with_channel(shape: tuple[int, ...], space: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The shortest axis after the first as channel, if it is shorter than half of the others."""
    shortest = min(range(1, len(shape)), key=lambda i: shape[i])
    others = [m for i, m in enumerate(shape) if i not in (0, shortest)]
    if others and shape[shortest] <= min(others) / 2:
        axes = ["sample", *space]
        axes.insert(shortest, "channel")
        yield tuple(axes)
