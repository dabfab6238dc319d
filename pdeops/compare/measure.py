"""Timing in turn: every candidate's calls, interleaved, with the errors of what they return."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.norms import Lp
from ..domain import Grid
from .candidates import Candidate
from .wording import grid_name


def measure(
    candidates: Sequence[Candidate],
    grid: Grid,
    truth: Float[Tensor, "sample channel *space"],
    *,
    repeats: int,
    clock: Callable[[], float],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Call the candidates in turn, round after round, until each has seen every sample.

    Each collects what `Candidate.row` reports; `truth` stands at the nodes of `grid`.

    In round r a candidate of batch b solves samples r b, ..., r b + b - 1, modulo their number.
    """
    num_samples, norm = len(truth), Lp(2.0, domain=grid)
    rounds = [max(repeats, math.ceil(num_samples / c.batch)) for c in candidates]
    total, done = sum(rounds), 0
    for candidate in candidates:
        _warm_up(candidate, [i % num_samples for i in range(candidate.batch)], clock)
    for r in range(max(rounds)):
        for candidate, own_rounds in zip(candidates, rounds, strict=True):
            if r >= own_rounds:
                continue
            indices = [(r * candidate.batch + j) % num_samples for j in range(candidate.batch)]
            x = candidate.prepare(indices)
            prediction, solve_seconds, setup_seconds = _call(candidate, x, candidate.threads, clock)
            candidate.seconds.append(solve_seconds / candidate.batch)
            if setup_seconds is not None:
                candidate.setup_seconds.append(setup_seconds / candidate.batch)
            errors = _relative_error(norm, prediction.double(), truth[indices], candidate)
            candidate.errors.update(zip(indices, errors.tolist(), strict=True))
            done += 1
            if progress is not None:
                progress(done, total)


def _warm_up(candidate: Candidate, indices: Sequence[int], clock: Callable[[], float]) -> None:
    """Calls that are not counted (compilation, caches); settles on one thread or all that it may.

    On few nodes, or beside other work, several threads cost more than they bring.
    """
    x = candidate.prepare(indices)
    choices = sorted({candidate.threads, 1}, reverse=True)
    seconds = {}
    for threads in choices if len(choices) == 1 else [*choices, *choices]:
        seconds[threads] = _call(candidate, x, threads, clock)[1]  # of the last call
    candidate.threads = min(choices, key=lambda threads: seconds[threads])
    candidate.iterations.clear()


def _call(
    candidate: Candidate, x: Tensor, threads: int, clock: Callable[[], float]
) -> tuple[Tensor, float, float | None]:
    """Prediction, its seconds, and those of the set-up alone where it can be told apart."""
    with _threads(threads):
        start = clock()
        prediction = candidate.predict(x)
        solved = clock()
        told_apart = candidate.set_up(x)
        set_up = clock()
    return prediction, solved - start, set_up - solved if told_apart else None


def _relative_error(norm: Lp, prediction: Tensor, truth: Tensor, who: Candidate) -> Tensor:
    if prediction.shape != truth.shape:
        raise ValueError(
            f"{who.method} on {grid_name(who.grid.shape)} must predict fields of shape "
            f"{tuple(truth.shape)} at the test nodes; got {tuple(prediction.shape)}. Does it map "
            f"(batch, channel, *space) to the problem's solution?"
        )
    return norm(prediction - truth) / norm(truth)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """torch with this many threads, and as before afterwards."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            torch.set_num_threads(before)
