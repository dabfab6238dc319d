"""python -m benchmarks.checkouts OLD NEW: compares the speed of two checkouts on small workloads.

Each checkout has one long-lived process (`checkout_worker.py`), which imports the package of that
checkout. The two processes alternate call by call, so that other work on the machine slows both
alike; while one of them works, the other waits. A workload is set up in both, called a few times
untimed, and then timed. Two processes of the same code may differ too, by the placement of their
memory; --processes repeats everything with new pairs of processes.

Prints, for each workload, the processor time of a call on both sides (median and quartiles), the
ratio of the medians, new over old, and median and quartiles of the ratio of a new call to the old
call of the same round. A ratio above 1 means that the new checkout is slower; where 1 lies between
the quartiles, the difference is no larger than the noise. Pass the same checkout twice to
measure the noise.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdeops.compare.tables import markdown_table, write_csv
from pdeops.compare.timing import Quartiles, Side, Stopwatch, interleave

from .bench import machine
from .checkout_worker import WORKLOADS

WORKER = Path(__file__).with_name("checkout_worker.py")
WARM_UP, ROUNDS, PROCESSES = 3, 15, 3


class Worker:
    """A process that runs workloads with the package of one checkout.

    Raises:
        RuntimeError: the process has ended, or a workload failed in it.
    """

    def __init__(self, checkout: Path, threads: int) -> None:
        command = [sys.executable, str(WORKER), str(checkout), str(threads)]
        self.checkout = checkout
        self.process = subprocess.Popen(
            command, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, request: str) -> dict[str, Any]:
        """The answer to a line such as "setup NAME" or "call NAME"."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):  # the process has ended and sends no answer
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"The process of {self.checkout.name} ended at {request!r} with exit status "
                f"{self.process.wait()}; see its standard error."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{request!r} failed in {self.checkout.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def workers(checkouts: Mapping[str, Path], threads: int) -> Iterator[dict[str, Worker]]:
    """One worker for each checkout, ended afterwards."""
    started: dict[str, Worker] = {}
    try:
        for name, checkout in checkouts.items():
            started[name] = Worker(checkout, threads)
        yield started
    finally:
        for worker in started.values():
            worker.close()


@dataclass(frozen=True)
class Compared:
    """Seconds of the calls of both sides, round by round."""

    old: list[float]
    new: list[float]

    @property
    def ratio(self) -> float:
        """Median of the new seconds over median of the old ones."""
        return Quartiles.of(self.new).median / Quartiles.of(self.old).median

    @property
    def ratios(self) -> Quartiles:
        """Quartiles of the ratios of the two calls of a round."""
        return Quartiles.of([n / o for o, n in zip(self.old, self.new, strict=True)])


def compare(
    pair: Mapping[str, Worker], workload: str, *, rounds: int, warm_up: int = WARM_UP
) -> dict[str, Compared]:
    """Processor and wall-clock seconds ("cpu", "wall") of a workload, alternating the sides.

    Args:
        pair: the workers "old" and "new"; the first is called first in each round.
        workload: a name in WORKLOADS.
        rounds: number of timed calls of each worker.
        warm_up: number of untimed calls of each worker before.
    """
    for worker in pair.values():
        worker.ask(f"setup {workload}")
        for _ in range(warm_up):
            worker.ask(f"call {workload}")

    def side(worker: Worker) -> Side:
        def turn(watch: Stopwatch, _: int) -> bool:
            seconds = worker.ask(f"call {workload}")
            watch.record(seconds["wall"], seconds["cpu"])
            return True

        return turn

    sides = {name: side(worker) for name, worker in pair.items()}
    watches = interleave(sides, repeats=rounds)
    for worker in pair.values():
        worker.ask(f"drop {workload}")
    old, new = watches["old"], watches["new"]
    return {
        "cpu": Compared(old.cpu["call"], new.cpu["call"]),
        "wall": Compared(old.wall["call"], new.wall["call"]),
    }


def run(
    checkouts: Mapping[str, Path],
    workloads: Sequence[str],
    *,
    rounds: int = ROUNDS,
    processes: int = PROCESSES,
    threads: int = 1,
) -> dict[str, dict[str, Compared]]:
    """A map workload -> clock -> seconds of both sides, over all rounds and pairs of processes.

    Every second pair calls the new checkout first.

    Args:
        checkouts: the folders "old" and "new".
        workloads: names in WORKLOADS.
        rounds: number of timed calls in each process.
        processes: number of pairs of processes.
        threads: torch's threads.
    """
    order = list(checkouts.items())
    found: dict[str, dict[str, Compared]] = {
        name: {clock: Compared([], []) for clock in ("cpu", "wall")} for name in workloads
    }
    for number in range(processes):
        with workers(dict(order if number % 2 == 0 else order[::-1]), threads) as pair:
            for name in workloads:
                for clock, seconds in compare(pair, name, rounds=rounds).items():
                    found[name][clock].old.extend(seconds.old)
                    found[name][clock].new.extend(seconds.new)
                print(f"{name}: pair {number + 1} of {processes}", file=sys.stderr, flush=True)
    return found


def rows(found: Mapping[str, Mapping[str, Compared]]) -> list[dict[str, str]]:
    """One row for each workload, times in milliseconds."""
    return [
        {
            "workload": name,
            "old, ms": milliseconds(clocks["cpu"].old),
            "new, ms": milliseconds(clocks["cpu"].new),
            "new / old": f"{clocks['cpu'].ratio:.3f}",
            "per round": ratio_text(clocks["cpu"].ratios),
            "new / old, wall clock": f"{clocks['wall'].ratio:.3f}",
            "calls": str(len(clocks["cpu"].old)),
        }
        for name, clocks in found.items()
    ]


def milliseconds(seconds: Sequence[float]) -> str:
    """Median and quartiles in milliseconds."""
    q = Quartiles.of([1e3 * s for s in seconds])
    return f"{q.median:.2f} ({q.q1:.2f} to {q.q3:.2f})"


def ratio_text(q: Quartiles) -> str:
    """Median and quartiles of ratios."""
    return f"{q.median:.3f} ({q.q1:.3f} to {q.q3:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkouts")
    parser.add_argument("old", type=Path, help="folder of the old checkout")
    parser.add_argument("new", type=Path, help="folder of the new checkout")
    parser.add_argument(
        "--workloads", nargs="*", choices=[*WORKLOADS], default=[*WORKLOADS], metavar="NAME",
        help=f"by default all: {', '.join(WORKLOADS)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed calls per process")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="pairs of processes")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    parser.add_argument("--out", type=Path, help="CSV file; by default nothing is written")
    given = parser.parse_args()
    for folder in (given.old, given.new):
        if not (folder / "pdeops" / "__init__.py").is_file():
            parser.error(f"{folder} is no checkout of pdeops: it has no pdeops/__init__.py")
    found = run(
        {"old": given.old.resolve(), "new": given.new.resolve()},
        given.workloads,
        rounds=given.rounds,
        processes=given.processes,
        threads=given.threads,
    )
    table = rows(found)
    print(f"Processor time of a call, {given.threads} thread(s)\n")
    print(markdown_table(list(table[0]), [list(row.values()) for row in table]))
    if given.out:
        write_csv(given.out, [{**row, "threads": given.threads, **machine()} for row in table])


if __name__ == "__main__":
    main()
