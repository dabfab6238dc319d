"""Ctrl-C and SIGTERM as requests to stop, which the training loop handles after a step."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Inside the block, SIGINT and SIGTERM set `requested` and do not interrupt a step.

    A second Ctrl-C raises KeyboardInterrupt at once, in case a step hangs. With `patient=True` it
    does not: for several processes, the launcher repeats the signal. Outside the main thread
    signals cannot be caught, and the block has no effect.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, *, patient: bool = False) -> None:
        self.requested = False
        self._patient = patient
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in self._SIGNALS:
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
        os.write(2, b"\nStopping after this step; the checkpoint is written first.\n")


def leave_to_parent(worker: int) -> None:
    """In a data-loading process, ignore Ctrl-C (the parent handles it) and end on SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
