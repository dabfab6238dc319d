"""The timing loop with a clock under control: order of calls, what is timed, quartiles."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from pdeops.compare import timing
from pdeops.compare.timing import Clock, Quartiles, Stopwatch, Timing, interleave, time_calls


@pytest.fixture
def still(clock):
    """A clock that moves only by `advance`; processor time runs twice as fast."""
    return Clock(clock, lambda: 2 * clock(), rest=0.0)


def lasting(clock, *seconds):
    """A call that takes these seconds, one after the other."""
    left = iter(seconds)
    return lambda: clock.advance(next(left))


def test_quartiles_are_interpolated():
    assert Quartiles.of([4.0, 1.0, 2.0, 3.0, 5.0]) == Quartiles(2.0, 3.0, 4.0)
    assert Quartiles.of([1.0, 2.0]) == Quartiles(1.25, 1.5, 1.75)
    assert Quartiles.of([3.0]) == Quartiles(3.0, 3.0, 3.0)


def test_wall_clock_and_processor_time_are_measured_apart(clock, still):
    watch = Stopwatch(still)
    assert (
        watch(lambda x, y: clock.advance(x + y) or "result", 1.0, 2.0, phase="set-up") == "result"
    )
    watch(clock.advance, 5.0)
    assert watch.wall == {"set-up": [3.0], "call": [5.0]}
    assert watch.cpu == {"set-up": [6.0], "call": [10.0]}


def test_a_call_that_raises_leaves_no_seconds(clock, still):
    watch = Stopwatch(still)
    with pytest.raises(ZeroDivisionError):
        watch(lambda: 1 / 0)
    assert watch.wall == {}


def test_rests_awake_before_the_call_and_outside_its_time(monkeypatch):
    """The wait reads the clock, here 1 ms later at each reading, until the rest is over."""
    readings, read = [], []

    def reading():
        readings.append(1e-3 * len(readings))
        return readings[-1]

    awake = SimpleNamespace(perf_counter=reading)  # of `time`, without its sleep
    monkeypatch.setattr(timing, "time", awake)
    rest = 0.03
    watch = Stopwatch(Clock(reading, reading, rest=rest))
    watch(lambda: read.append(len(readings)))
    assert read[0] > rest / 1e-3
    assert watch.wall["call"][0] < rest / 2


def test_medians_of_turns_without_the_first(clock, still):
    """The first call of each side takes 100 s and is not counted."""
    sides = {
        "a": lasting(clock, 100.0, 1.0, 9.0, 2.0),
        "b": lasting(clock, 100.0, 10.0, 90.0, 20.0),
    }
    found = time_calls(sides, repeats=3, clock=still)
    assert found["a"] == Timing(Quartiles(1.5, 2.0, 5.5), Quartiles(3.0, 4.0, 11.0))
    assert found["b"].wall.median == 20


def test_sides_take_turns():
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    time_calls(sides, repeats=3, warm_up=2, clock=Clock(rest=0.0))
    assert calls == ["a", "b"] * 5


def test_each_side_has_its_number_of_turns(still):
    turns = []

    def side(name, last):
        def turn(watch, index):
            turns.append((name, index))
            return index < last

        return turn

    rounds = []
    sides = {"a": side("a", 9), "b": side("b", 0), "c": side("c", 9), "d": side("d", 9)}
    most = {"a": 3, "b": 3, "c": 2, "d": 0}
    interleave(sides, repeats=most, clock=still, progress=rounds.append)
    assert turns == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("c", 1), ("a", 2)]
    assert rounds == [1, 2, 3]


def test_without_a_number_every_side_decides(clock, still):
    def until_a_second_has_passed(watch, index):
        watch(clock.advance, 0.3)
        return sum(watch.wall["call"]) < 1

    watches = interleave({"a": until_a_second_has_passed}, repeats=None, clock=still)
    assert len(watches["a"].wall["call"]) == 4


def test_seconds_that_were_measured_elsewhere_are_kept(still):
    watch = Stopwatch(still)
    for seconds in (1.0, 2.0, 4.0):
        watch.record(seconds, 10 * seconds)
    assert watch.timing().wall.median == 2
    assert watch.timing().cpu.median == 20


def test_text_is_in_milliseconds():
    timing = Timing.of([0.004, 0.001, 0.002, 0.003, 0.005], [0.001, 0.001, 0.009])
    assert str(timing) == "     3.00 ms (2.00 to 4.00), processor 1.00 ms"


@pytest.mark.parametrize("module", ["timing", "machine", "tables", "break_even"])
def test_importing_one_module_does_not_import_the_room(module):
    code = (
        f"import sys, pdeops.compare.{module} as m; "
        "room = [n for n in sys.modules if n.startswith('pdeops.compare.')]; "
        "assert room == [m.__name__], room; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
