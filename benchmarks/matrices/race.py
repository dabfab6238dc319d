"""Turns of all sides on one matrix, each side in a process of its own.

The first turn of a process is the cold one: it loads compiled code, and all that follows from a
first call. Warm turns alternate between the sides, so that other work on the machine slows all of
them equally.
"""

import json
import os
import selectors
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..opponents import LARGEST_3D, OPPONENTS, THREAD_VARIABLES, Given
from .worker import OURS, save

ROOT = Path(__file__).resolve().parents[2]
WARM, SLOW, LIMIT = 2, 2.0, 45.0
FEW, MANY = 10, 100  # right-hand sides that are solved together
POLL = 0.2  # seconds between looks at a process that has not answered
SLACK = 1.1  # accepted ratio of the true residual to the tolerance
SIDES = (OURS, *OPPONENTS)


@dataclass(frozen=True)
class Rules:
    """How turns are taken.

    Attributes:
        warm: number of warm turns.
        slow: an opponent that takes more processor seconds in a turn has no further turn; no side
            that does solves several right-hand sides.
        limit: a process that takes more processor seconds for an answer is ended (processor time
            hardly depends on other work on the machine).
        threads: threads of every side.
        largest_3d: see `Opponent.why_not`.
    """

    warm: int = WARM
    slow: float = SLOW
    limit: float = LIMIT
    threads: int = 2
    largest_3d: int = LARGEST_3D


@dataclass
class Record:
    """The turns of one side on one matrix.

    Attributes:
        turns: answers of the turns with one right-hand side; the first is the cold one.
        together: whether the side takes several right-hand sides at once.
        several: number of them -> the answer of its last turn with them.
        import_seconds: seconds of imports.
        failure: why the side has no figure; empty if it solved every turn to the tolerance.
    """

    turns: list[dict[str, Any]] = field(default_factory=list)
    together: bool = False
    several: dict[int, dict[str, Any]] = field(default_factory=dict)
    import_seconds: float = 0.0
    failure: str = ""

    @property
    def warm(self) -> list[dict[str, Any]]:
        """The warm turns, or the cold one where it is the only one."""
        return self.turns[1:] or self.turns

    def median(self, phase: str, clock: int = 0) -> float:
        """Median seconds of "setup" or "solve" in warm turns; clock 0 is wall, 1 processor time."""
        return statistics.median(turn[phase][clock] for turn in self.warm)

    @property
    def cold(self) -> float:
        """Wall-clock seconds of the first set-up and solution."""
        return float(self.turns[0]["setup"][0] + self.turns[0]["solve"][0])

    def total(self, solves: int, clock: int = 0) -> float:
        """Seconds for `solves` right-hand sides of one matrix, set-up included: as measured
        together, or from the seconds of each."""
        if solves == 1 or not self.several:
            return self.median("setup", clock) + solves * self.median("solve", clock)
        count = solves if solves in self.several else FEW
        turn = self.several[count]
        return float(turn["setup"][clock] + turn["solve"][clock] * solves / count)


class Process:
    """The worker of one side."""

    def __init__(self, folder: Path, side: str, rules: Rules) -> None:
        threads = dict.fromkeys(THREAD_VARIABLES, str(rules.threads))
        self.limit = rules.limit
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (until `close`)
        self._child = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker", str(folder), side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env={**os.environ, **threads},
        )

    def send(self, command: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # the process has ended: `answer` says why
            self._child.stdin.write(json.dumps(command).encode() + b"\n")
            self._child.stdin.flush()

    def answer(self, limit: float | None = None) -> dict[str, Any]:
        """The next answer; one with "failed" where there is none in time, or the process ended."""
        limit = self.limit if limit is None else limit
        assert self._child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            before = self._processor_seconds()
            while not selector.select(POLL):
                if self._processor_seconds() - before > limit:
                    return {"failed": f"more than {limit:g} s of processor time"}
        line = self._child.stdout.readline()
        if not line:
            return {"failed": f"its process ended: {self._last_words()}"}
        found: dict[str, Any] = json.loads(line)
        return found

    def _processor_seconds(self) -> float:
        """Of all threads of the process, from its start (Linux; see proc(5))."""
        after_name = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, after_name[11:13])) / os.sysconf("SC_CLK_TCK")

    def _last_words(self) -> str:
        self._child.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else f"exit status {self._child.returncode}"

    def close(self, *, kill: bool = False) -> None:
        """End the process: after its last command, or at once."""
        if kill:
            self._child.kill()
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with suppress(BrokenPipeError):  # a command that an ended process did not read
            self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait()
        self._errors.close()


def race(
    given: Given, b: np.ndarray, sides: Sequence[str] = SIDES, rules: Rules | None = None
) -> dict[str, Record]:
    """The record of every side, in the order of `sides`."""
    rules = rules or Rules()
    records = {side: Record(failure=_why_not(side, given, rules)) for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), given, b)
        running = {
            side: Process(Path(folder), side, rules) for side in sides if not records[side].failure
        }
        try:
            _start(running, records)
            for turn in range(1 + rules.warm):
                for side in list(running):
                    if _goes_on(side, records[side], rules):
                        _take(running, records[side], side, given.rtol, turn, 1)
            for turn, count in enumerate((FEW, FEW, MANY)):  # the first loads compiled code
                for side in list(running):
                    if records[side].together and _has_time(records[side], count, rules):
                        _take(running, records[side], side, given.rtol, turn, count)
        finally:
            for process in running.values():
                process.close(kill=sys.exc_info()[0] is not None)
    return records


def _why_not(side: str, given: Given, rules: Rules) -> str:
    return "" if side == OURS else OPPONENTS[side].why_not(given, rules.largest_3d)


def _start(running: dict[str, Process], records: dict[str, Record]) -> None:
    """Wait until every process has imported its package and read the matrix."""
    for side, process in list(running.items()):
        found = process.answer(max(process.limit, 120.0))
        if "failed" in found:
            _stop(running, records[side], side, found["failed"])
            continue
        records[side].import_seconds = found["import"]
        records[side].together = found["together"]


def _goes_on(side: str, record: Record, rules: Rules) -> bool:
    """Whether a side has another turn. Ours has a warm one at least: its first turn loads compiled
    code."""
    if len(record.turns) < (2 if side == OURS else 1):
        return True
    return _processor(record.turns[-1]) <= rules.slow


def _has_time(record: Record, count: int, rules: Rules) -> bool:
    """Whether a side solves several right-hand sides: if its last turn was not slow, and if many
    would not take ten times as long as a slow turn."""
    if FEW not in record.several:
        return count == FEW and _processor(record.turns[-1]) <= rules.slow
    return record.total(count, 1) <= 10 * rules.slow


def _processor(turn: dict[str, Any]) -> float:
    return float(turn["setup"][1] + turn["solve"][1])


def _take(
    running: dict[str, Process], record: Record, side: str, rtol: float, turn: int, count: int
) -> None:
    """One turn, alone on the machine; a side that fails has no further turn."""
    process = running[side]
    process.send({"turn": turn, "rhs": count})
    first = side == OURS and turn == 0  # it may compile, if the cache of compiled code is empty
    found = process.answer(process.limit * (10 if first else 1 if count == 1 else 3))
    if "failed" not in found and not found["residual"] <= SLACK * rtol:
        found["failed"] = f"|b - A x| = {found['residual']:.1e} |b| > {rtol:.0e} |b|"
    if "failed" in found:
        _stop(running, record, side, found["failed"])
    elif count == 1:
        record.turns.append(found)
    else:
        record.several[count] = found


def _stop(running: dict[str, Process], record: Record, side: str, why: str) -> None:
    record.failure = why
    running.pop(side).close(kill=True)
