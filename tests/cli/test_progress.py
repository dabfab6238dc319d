"""Lines on standard error while nothing else is written."""

import logging
import time

import pytest

from pdeops.cli import progress
from pdeops.kernels.runtime import compiling


@pytest.fixture
def watch(caplog):
    logger = logging.getLogger("test_progress")
    logger.setLevel(logging.INFO)
    return progress.Watch(progress.LogLine(), logger)


def silent_for(watch, seconds):
    watch._log.last = time.monotonic() - seconds


def test_nothing_is_written_while_the_command_logs(watch, caplog):
    silent_for(watch, 0.5)
    watch.look()
    assert not caplog.messages


def test_compilation_is_named(watch, caplog):
    with compiling.reported("plane.descend5"):
        silent_for(watch, 2)
        watch.look()
    assert caplog.messages[0].startswith("compiling loops, once: ")
    assert caplog.messages[0].endswith("now plane.descend5")


def test_a_command_is_not_silent_for_two_seconds_while_a_user_waits(watch, caplog):
    for lines in (1, 2, 3):
        silent_for(watch, 1.6)
        watch.look()
        assert len(caplog.messages) == lines


def test_intervals_double_later(watch, caplog):
    watch._start -= 30
    for silent, lines in ((1.6, 1), (1.6, 1), (3.1, 2), (3.1, 2), (6.1, 3)):
        silent_for(watch, silent)
        watch.look()
        assert len(caplog.messages) == lines


def test_the_stage_is_named(watch, caplog):
    """That is the last line that the work has logged, not the one of the watch."""
    handler = progress.LogLine()
    watch._log = handler
    watch._logger.addHandler(handler)
    try:
        watch._logger.info("reference solutions\non a finer grid")
        silent_for(watch, 1.6)
        watch.look()
        silent_for(watch, 1.6)
        watch.look()
    finally:
        watch._logger.removeHandler(handler)
    lines = [m for m in caplog.messages if m.startswith("still working, ")]
    assert len(lines) == 2
    assert all("(after: reference solutions)" in line for line in lines)
