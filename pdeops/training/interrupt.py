"""Ctrl-C and the signals of a cluster as requests to stop, handled after a training step."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

# SIGUSR1 and SIGUSR2 are the warnings that batch systems send before the time limit (SLURM's
# --signal); SIGHUP is the end of a terminal. Windows has SIGINT and SIGTERM only.
STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP")
    if hasattr(signal, name)
)


class Interrupts:
    """Inside the block, the signals of `STOP_SIGNALS` set `requested` and do not interrupt a step.

    A second Ctrl-C raises KeyboardInterrupt at once, in case a step hangs. With `patient=True` it
    does not: for several processes, the launcher repeats the signal. A signal that is ignored when
    the block begins, as SIGHUP is under nohup, stays ignored. Outside the main thread signals
    cannot be caught, and the block has no effect.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.requested = False
        self._patient = patient
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_IGN:
                    continue
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested and not self._patient and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        # The logger may be writing to its stream when the signal arrives.
        try:
            os.write(2, b"\nStopping after this step; the checkpoint is written first.\n")
        except OSError:
            _silence()


def _silence() -> None:
    """Send standard error to nowhere, and standard output if both were the terminal, which is gone
    after SIGHUP: a line of the log must not end the run before its checkpoint is written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    outputs = (1, 2) if os.path.sameopenfile(1, 2) else (2,)
    for output in outputs:
        os.dup2(nowhere, output)
    os.close(nowhere)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes started inside the block never receive the signals of a cluster.

    A batch system sends them to the whole group, and they would end Python's resource tracker. One
    that arrives inside the block is handled after it.
    """
    blocked = set(STOP_SIGNALS) - {signal.SIGINT, signal.SIGTERM}
    if not blocked:  # Windows, which has no masks
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_parent(worker: int) -> None:
    """In a data-loading process, ignore the signals that the parent handles, and end on SIGTERM."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
