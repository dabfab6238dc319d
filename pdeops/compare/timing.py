"""Timing of calls by turns: wall-clock and processor time, quartiles.

Methods under comparison (sides) take turns, so that other work on the machine slows all of them
equally. Wall-clock time is the time that a user waits. Processor time is the sum over the threads
of this process, and hardly depends on other processes.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Passes of `fixed_load`: about a millisecond.
PASSES = 20_000

# Seconds of busy waiting before each timed call. Threads of torch and of numpy's matrix products
# occupy a core for up to 10 ms after their last task and would slow the next call. The wait is busy
# because a core is slow after an idle period.
REST = 0.02
CALL = "call"  # the phase of a side with a single phase


@dataclass(frozen=True)
class Clock:
    """Source of the time.

    Attributes:
        wall: seconds of real time from a fixed origin.
        cpu: seconds of processor time of this process, over all threads.
        rest: seconds of busy waiting before each timed call.
    """

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time
    rest: float = REST

    def wait(self) -> None:
        """Wait busily for `rest` seconds of real time."""
        end = time.perf_counter() + self.rest
        while time.perf_counter() < end:
            pass


@dataclass(frozen=True)
class Quartiles:
    """The quartiles of a sample, by linear interpolation between its values."""

    q1: float
    median: float
    q3: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quartiles":
        """The quartiles of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))

    @property
    def spread(self) -> float:
        """q3 / q1; 1 if both are zero."""
        return self.q3 / self.q1 if self.q1 > 0 else 1.0 if self.q3 == 0 else math.inf


def fixed_load() -> int:
    """The same arithmetic at every call, in one thread: if its seconds vary, the machine does."""
    return sum(i * i for i in range(PASSES))


@dataclass(frozen=True)
class Timing:
    """Seconds of a call: quartiles of the wall-clock time and of the processor time."""

    wall: Quartiles
    cpu: Quartiles

    @classmethod
    def of(cls, wall: Sequence[float], cpu: Sequence[float]) -> "Timing":
        """From the seconds of each timed call."""
        return cls(Quartiles.of(wall), Quartiles.of(cpu))

    def __str__(self) -> str:
        q1, median, q3 = (1e3 * t for t in (self.wall.q1, self.wall.median, self.wall.q3))
        return f"{median:9.2f} ms ({q1:.2f} to {q3:.2f}), processor {1e3 * self.cpu.median:.2f} ms"


@dataclass
class Stopwatch:
    """Times the calls of one side and keeps their seconds.

    Attributes:
        clock: source of the time.
        wall, cpu: phase -> seconds of each call, in order.
    """

    clock: Clock = field(default_factory=Clock)
    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self, call: Callable[..., Any], *arguments: Any, phase: str = CALL) -> Any:
        """`call(*arguments)`, timed after a rest. A call that raises leaves no seconds."""
        self.clock.wait()
        start, start_cpu = self.clock.wall(), self.clock.cpu()
        result = call(*arguments)
        wall, cpu = self.clock.wall() - start, self.clock.cpu() - start_cpu
        self.record(wall, cpu, phase=phase)
        return result

    def record(self, wall: float, cpu: float, *, phase: str = CALL) -> None:
        """Store the seconds of a call that was timed elsewhere."""
        self.wall.setdefault(phase, []).append(wall)
        self.cpu.setdefault(phase, []).append(cpu)

    def timing(self, phase: str = CALL) -> Timing:
        """The quartiles of a phase that was timed at least once."""
        return Timing.of(self.wall[phase], self.cpu[phase])


# One turn of a side: (stopwatch, round) -> whether it takes part in the next round. The side times
# its calls with the stopwatch.
Side = Callable[[Stopwatch, int], bool]


def interleave(
    sides: Mapping[str, Side],
    *,
    repeats: int | Mapping[str, int] | None,
    clock: Clock | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Stopwatch]:
    """Run one turn of every side per round; returns the stopwatch of each side.

    The caller makes the first calls, which compile or fill caches; see `time_calls`.

    Args:
        sides: name -> side, called with its stopwatch and the number of the round, from 0.
        repeats: number of turns, common or per side; None: until every side returns False.
        clock: source of the time; by default the clocks of this machine.
        progress: called after each round with the number of rounds done.
    """
    clock = clock or Clock()
    watches = {name: Stopwatch(clock) for name in sides}
    left = {name: repeats.get(name) if isinstance(repeats, Mapping) else repeats for name in sides}
    waiting = [name for name in sides if left[name] != 0]
    turn = 0
    while waiting:
        again = [name for name in waiting if sides[name](watches[name], turn)]
        turn += 1
        waiting = [name for name in again if (limit := left[name]) is None or turn < limit]
        if progress is not None:
            progress(turn)
    return watches


def finished(call: Callable[[], object], device: "torch.device") -> Callable[[], None]:
    """The call, until the device has finished it."""

    def run() -> None:
        call()
        if device.type == "cuda":
            import torch

            torch.cuda.synchronize(device)

    return run


def time_calls(
    calls: Mapping[str, Callable[[], Any]],
    *,
    repeats: int,
    warm_up: int = 1,
    clock: Clock | None = None,
) -> dict[str, Timing]:
    """The quartiles of the seconds of each call, with the calls in turn.

    Args:
        calls: name -> the call to time.
        repeats: number of timed calls of each.
        warm_up: number of untimed rounds before.
        clock: source of the time; by default the clocks of this machine.
    """

    def side(call: Callable[[], Any]) -> Side:
        def turn(watch: Stopwatch, _: int) -> bool:
            watch(call)
            return True

        return turn

    for _ in range(warm_up):
        for call in calls.values():
            call()
    sides = {name: side(call) for name, call in calls.items()}
    watches = interleave(sides, repeats=repeats, clock=clock)
    return {name: watch.timing() for name, watch in watches.items()}
