"""Processor seconds of commands from a new process, relative to `import torch` in the same run.

Commands take turns, and each is a new process; the solve is that of a 255² Poisson matrix from a
file. "first solve" starts with an empty cache of compiled loops, "warm solve" with a full one.
Python's bytecode is cached, as it is after an installation by pip.

python -m benchmarks.cold_start: print, and write results/cold_start.csv.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse

from pdeops.compare.tables import write_csv
from pdeops.domain import Grid
from pdeops.solvers import Laplacian

from .bench import RESULTS, machine

REPEATS = 5
IMPORT_TORCH = "import torch"
LIMITS = {  # largest accepted ratio to `import torch`
    "pdeops --help": 0.15,
    "pdeops models": 1.3,
    "pdeops doctor": 1.3,
    "warm solve": 1.4,
    "first solve": 4.0,
}


def cpu_seconds(command: list[str], environment: dict[str, str]) -> float:
    """Processor time of a command and its children, on all cores."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, repeats: int = REPEATS) -> dict[str, list[float]]:
    """Seconds of each command in each turn; `folder` receives the matrix and the caches."""
    grid = Grid((257, 257))
    scipy.sparse.save_npz(folder / "A.npz", Laplacian(grid).to_csr())
    np.save(folder / "b.npy", np.ones(255 * 255))
    pdeops = [sys.executable, "-m", "pdeops.cli"]
    solve = [*pdeops, "solve", "--matrix", str(folder / "A.npz"), "--rhs", str(folder / "b.npy")]
    given = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    warm = {**given, "NUMBA_CACHE_DIR": str(folder / "warm")}
    cpu_seconds([*pdeops, "models"], warm)  # writes bytecode
    cpu_seconds(solve, warm)  # fills the cache
    seconds: dict[str, list[float]] = {name: [] for name in (IMPORT_TORCH, *LIMITS)}
    for turn in range(repeats):
        empty = {**given, "NUMBA_CACHE_DIR": str(folder / f"turn{turn}")}
        seconds[IMPORT_TORCH].append(cpu_seconds([sys.executable, "-c", IMPORT_TORCH], warm))
        for verb in ("--help", "models", "doctor"):
            seconds[f"pdeops {verb}"].append(cpu_seconds([*pdeops, verb], warm))
        seconds["warm solve"].append(cpu_seconds(solve, warm))
        seconds["first solve"].append(cpu_seconds(solve, empty))
    return seconds


def main(folder: Path = RESULTS) -> None:
    with tempfile.TemporaryDirectory() as place:
        seconds = measure(Path(place))
    torch_seconds = statistics.median(seconds[IMPORT_TORCH])
    rows = []
    for name, values in seconds.items():
        median = statistics.median(values)
        row = {
            "command": name,
            "median_processor_s": f"{median:.2f}",
            "ratio_to_import_torch": f"{median / torch_seconds:.2f}",
            "limit": str(LIMITS.get(name, "")),
            "repeats": str(len(values)),
        }
        print("  ".join(row.values()), flush=True)
        rows.append({**row, **machine()})
    write_csv(folder / "cold_start.csv", rows)


if __name__ == "__main__":
    main()
