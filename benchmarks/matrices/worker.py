"""The process of one side: python -m benchmarks.matrices.worker FOLDER SIDE.

Reads commands as lines of JSON and answers each with a line of JSON, on the file descriptors of
standard input and output; what a solver prints goes to standard error. The first answer says what
importing took, or that the package is not installed. {"turn": i, "rhs": k} solves k right-hand
sides from a fresh copy of the matrix; the residual is the true one, computed outside the timed
calls.
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from ..opponents import OPPONENTS, Given, Solve
from . import ours
from .problems import project

OURS = "pdeops"
SetUp = Callable[[Given], Solve]


def save(folder: Path, given: Given, b: np.ndarray) -> None:
    """Write what solvers receive, for the processes of all sides."""
    A = given.A
    for name in ("data", "indices", "indptr"):
        np.save(folder / f"{name}.npy", getattr(A, name))
    np.save(folder / "b.npy", b)
    for name in ("near_null_space", "coordinates"):
        if (values := getattr(given, name)) is not None:
            np.save(folder / f"{name}.npy", values)
    facts = {name: getattr(given, name) for name in ("rtol", "ndim", "singular", "components")}
    (folder / "facts.json").write_text(json.dumps(facts))


def read(folder: Path) -> tuple[Given, np.ndarray]:
    """What solvers receive, and right-hand sides (number, unknowns)."""
    arrays = {file.stem: np.load(file) for file in folder.glob("*.npy")}
    b = arrays.pop("b")
    parts = tuple(arrays.pop(name) for name in ("data", "indices", "indptr"))
    A = scipy.sparse.csr_matrix(parts, shape=(b.shape[1],) * 2)
    facts = json.loads((folder / "facts.json").read_text())
    return Given(A, **facts, **arrays), b


def right_hand_side(given: Given, stored: np.ndarray, turn: int, count: int) -> np.ndarray:
    """One of the stored right-hand sides, (unknowns,); or `count` of white noise, (unknowns,
    count)."""
    if count == 1:
        return stored[turn % len(stored)].copy()
    noise = np.random.default_rng(turn).standard_normal((count, len(stored[0])))
    return np.ascontiguousarray(project(noise, given).T)


def residual(A: Any, x: np.ndarray, b: np.ndarray) -> float:
    """The largest |b - A x| / |b| of all right-hand sides."""
    norms = np.linalg.norm(b - A @ x, axis=0) / np.linalg.norm(b, axis=0)
    return float(np.max(norms))


class Watch:
    """Seconds of wall-clock and of processor time since the last mark."""

    def __init__(self) -> None:
        self.last = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def mark(self) -> tuple[float, float]:
        before, self.last = self.last, self._now()
        return self.last[0] - before[0], self.last[1] - before[1]


def turn(set_up: SetUp, given: Given, b: np.ndarray) -> dict[str, Any]:
    """The seconds of set-up and solution, iterations and residual of one turn.

    Set-up and solution may refuse the matrix (ValueError), fail in compiled code (RuntimeError) or
    lack memory: the answer then holds the reason.
    """
    fresh = Given(given.A.copy(), **{k: v for k, v in vars(given).items() if k != "A"})
    watch = Watch()
    try:
        solve: Solve = set_up(fresh)
        first = watch.mark()
        found = solve(b)
        second = watch.mark()
    except (ValueError, RuntimeError, MemoryError, ArithmeticError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        return {"failed": f"{type(error).__name__}: {text}"}
    share = found.setup_share
    return {
        "setup": [a + share * c for a, c in zip(first, second, strict=True)],
        "solve": [(1 - share) * c for c in second],
        "iterations": found.iterations,
        "method": found.method,
        "residual": residual(given.A, np.asarray(found.x), b),
    }


def side(name: str) -> tuple[SetUp, bool, float]:
    """The set-up of a side, whether it takes right-hand sides together, and seconds of imports.

    Raises:
        ImportError: its package is not installed.
    """
    begin = time.perf_counter()
    if name == OURS:
        ours.load()
        start, together = ours.set_up, True
    else:
        opponent = OPPONENTS[name]
        importlib.import_module(opponent.package)
        start, together = opponent.start, opponent.together
    return start, together, time.perf_counter() - begin


def serve(folder: Path, name: str, answer: Any) -> None:
    """Answer commands from standard input until it ends."""
    given, stored = read(folder)
    try:
        set_up, together, seconds = side(name)
    except ImportError as error:
        answer({"failed": f"not installed: {error}"})
        return
    answer({"import": seconds, "together": together})
    for line in sys.stdin:
        command = json.loads(line)
        b = right_hand_side(given, stored, command["turn"], command["rhs"])
        found = turn(set_up, given, b)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer({**found, "peak_mb": peak})


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(record: dict[str, Any]) -> None:
        out.write(json.dumps(record) + "\n")
        out.flush()

    folder, name = sys.argv[1:]
    serve(Path(folder), name, answer)


if __name__ == "__main__":
    main()
