"""Measure the errors and seconds of a study's candidates, with interleaved calls."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.norms import Lp
from ..domain import Domain
from .candidates import Candidate
from .tables import grid_name
from .timing import Clock, Quartiles, Side, Stopwatch, fixed_load, interleave

PREDICT, SET_UP = "predict", "set-up"


def measure(
    candidates: Sequence[Candidate],
    grid: Domain,
    truth: Float[Tensor, "sample *frame"],
    *,
    repeats: int,
    clock: Clock | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Quartiles:
    """Call the candidates in turn, round by round, until each has solved every sample; returns the
    seconds of a fixed load, timed before each call.

    Each candidate collects the data for `Candidate.row`. In round r a candidate of batch size b
    solves samples r b, ..., r b + b - 1, modulo their number.

    Args:
        candidates: the methods to measure.
        grid: the test grid, or the domain of points that differ from sample to sample.
        truth: the reference solutions at the nodes of `grid`.
        repeats: minimum number of timed calls of each candidate.
        clock: source of the time; by default the clocks of this machine.
        progress: called with (calls done, total calls).
    """
    clock = clock or Clock()
    load = Stopwatch(replace(clock, rest=0.0))
    num_samples, norm = len(truth), Lp(2.0, domain=grid)
    names = [str(i) for i in range(len(candidates))]
    rounds = {
        name: max(repeats, math.ceil(num_samples / candidate.batch))
        for name, candidate in zip(names, candidates, strict=True)
    }
    total, done = sum(rounds.values()), 0

    def side(candidate: Candidate) -> Side:
        def turn(watch: Stopwatch, r: int) -> bool:
            nonlocal done
            indices = [(r * candidate.batch + j) % num_samples for j in range(candidate.batch)]
            x = candidate.prepare(indices)
            load(fixed_load)
            prediction = _call(candidate, x, candidate.threads, watch)
            _check_shape(prediction, truth[indices], candidate)
            candidate.record(indices, prediction.double(), truth[indices], norm)
            done += 1
            if progress is not None:
                progress(done, total)
            return True

        return turn

    for candidate in candidates:
        _warm_up(candidate, [i % num_samples for i in range(candidate.batch)], clock)
    sides = {name: side(candidate) for name, candidate in zip(names, candidates, strict=True)}
    watches = interleave(sides, repeats=rounds, clock=clock)
    for candidate, watch in zip(candidates, watches.values(), strict=True):
        candidate.seconds += [s / candidate.batch for s in watch.wall[PREDICT]]
        candidate.setup_seconds += [s / candidate.batch for s in watch.wall.get(SET_UP, [])]
    return load.timing().wall


def _warm_up(candidate: Candidate, indices: Sequence[int], clock: Clock) -> None:
    """Untimed calls (compilation, caches), which also choose between one thread and all.

    Several threads may be slower than one on small grids or on a busy machine.
    """
    x = candidate.prepare(indices)
    choices = sorted({candidate.threads, 1}, reverse=True)
    watches = {threads: Stopwatch(clock) for threads in choices}
    for threads in choices if len(choices) == 1 else [*choices, *choices]:
        _call(candidate, x, threads, watches[threads])
    candidate.threads = min(choices, key=lambda threads: watches[threads].wall[PREDICT][-1])
    candidate.iterations.clear()


def _call(candidate: Candidate, x: Any, threads: int, watch: Stopwatch) -> Tensor:
    """The timed prediction, and the separately timed set-up if there is one."""
    with _threads(threads):
        prediction = watch(candidate.predict, x, phase=PREDICT)
        if candidate.set_up is not None:
            watch(candidate.set_up, x, phase=SET_UP)
    return prediction


def _check_shape(prediction: Tensor, truth: Tensor, who: Candidate) -> None:
    if prediction.shape != truth.shape:
        raise ValueError(
            f"{who.method} on {grid_name(who.grid.shape)} must predict fields of shape "
            f"{tuple(truth.shape)} at the test nodes; got {tuple(prediction.shape)}. Does it map "
            f"(batch, channel, *space) to the problem's solution?"
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """torch with this number of threads, restored afterwards."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            torch.set_num_threads(before)
