"""The time of first calls, by a clock that the test moves."""

from contextlib import suppress
from types import SimpleNamespace

import pytest

from pdeops.kernels.runtime import first_calls


@pytest.fixture
def clock(monkeypatch):
    """clock[0] is the time."""
    now = [100.0]
    monkeypatch.setattr(first_calls, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def test_overlapping_blocks_count_once(clock):
    """One thread in 0 .. 3, another in 2 .. 7; from 7 to 9 none; then a block inside of another."""
    before = first_calls.seconds()
    first, second = first_calls.once(), first_calls.once()
    first.__enter__()
    clock[0] += 2
    second.__enter__()
    clock[0] += 1
    first.__exit__(None, None, None)
    clock[0] += 4
    second.__exit__(None, None, None)
    assert first_calls.seconds() - before == 7
    clock[0] += 2
    with first_calls.once(), first_calls.once():
        clock[0] += 5
    assert first_calls.seconds() - before == 12


def test_a_block_that_fails_counts(clock):
    before = first_calls.seconds()
    with suppress(KeyError), first_calls.once():
        clock[0] += 3
        raise KeyError
    assert first_calls.seconds() - before == 3
