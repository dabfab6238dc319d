"""How calls are timed: several sides by turns, wall-clock and processor time, quartiles.

Sides that are compared take turns, so that other work on the machine slows all of them alike. Wall
clock time is what a user waits for; processor time sums over the threads of this process and hardly
depends on what else the machine does.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Seconds of busy waiting before each timed call. Threads of torch or of numpy's products keep a
# core busy for up to 10 ms after their last task, at the expense of the call that follows. The wait
# is busy because a core that has slept starts slowly.
REST = 0.02
CALL = "call"  # the phase of a side that has one phase only


@dataclass(frozen=True)
class Clock:
    """Where the seconds come from.

    Attributes:
        wall: seconds of real time since some moment.
        cpu: seconds of processor time that this process has used, all threads together.
        rest: seconds of busy waiting before each timed call.
    """

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time
    rest: float = REST

    def wait(self) -> None:
        """Busy waiting for `rest` seconds of real time."""
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
        """Of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


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
        clock: where the seconds come from.
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
        """Keep the seconds of a call that was timed elsewhere."""
        self.wall.setdefault(phase, []).append(wall)
        self.cpu.setdefault(phase, []).append(cpu)

    def timing(self, phase: str = CALL) -> Timing:
        """The quartiles of a phase that was timed at least once."""
        return Timing.of(self.wall[phase], self.cpu[phase])


# One turn of a side: it times what it wants timed with its stopwatch, and returns whether it takes
# part in the next round.
Side = Callable[[Stopwatch, int], bool]


def interleave(
    sides: Mapping[str, Side],
    *,
    repeats: int | Mapping[str, int] | None,
    clock: Clock | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Stopwatch]:
    """Round after round, one turn of every side → the stopwatch of each.

    A first call that compiles or fills caches is to be made before: `time_calls` does so.

    Args:
        sides: name -> side, called with its stopwatch and the number of the round, from 0.
        repeats: number of turns, of all sides or of each; None: until every side declines.
        clock: where the seconds come from; by default the clocks of this machine.
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
        waiting = [name for name in again if (most := left[name]) is None or turn < most]
        if progress is not None:
            progress(turn)
    return watches


def time_calls(
    calls: Mapping[str, Callable[[], Any]],
    *,
    repeats: int,
    warm_up: int = 1,
    clock: Clock | None = None,
) -> dict[str, Timing]:
    """The quartiles of each call's seconds, taken by turns.

    Args:
        calls: name -> what is timed.
        repeats: number of timed calls of each.
        warm_up: number of rounds before, which are not timed.
        clock: where the seconds come from; by default the clocks of this machine.
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
