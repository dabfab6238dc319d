"""python -m benchmarks [NAME ...]: run, print, write benchmarks/results/NAME.csv.

Without a name: all of BENCHES, then those of COMMANDS.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from pdeops.compare.machine import describe_machine

from .bench import RESULTS, Bench, run, write
from .collocation import BENCHES as COLLOCATION
from .evolution import BENCHES as EVOLUTION
from .generation import BENCHES as GENERATION
from .loading import BENCHES as LOADING
from .lsm import BENCHES as LSM
from .mgno import BENCHES as MGNO
from .peers import BENCHES as PEERS
from .recognition import BENCHES as RECOGNITION
from .solvers import BENCHES as SOLVERS
from .spacetime_step import BENCHES as SPACETIME
from .spectral import BENCHES as SPECTRAL

BENCHES = {
    bench.name: bench
    for bench in (
        *(*SOLVERS, *RECOGNITION, *EVOLUTION, *GENERATION, *LOADING),
        *(*MGNO, *LSM, *PEERS, *SPECTRAL, *SPACETIME, *COLLOCATION),
    )
}

COMMANDS = ("zoo",)  # modules with a table of several rows; they have further options of their own


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        epilog="Commands that make one table each: python -m benchmarks.TABLE, with TABLE one of "
        "amg_tuning, certificates, checkouts, classical, cold_start, cost, curriculum, deepxde, "
        "elasticity, expectation, factor_ceiling, gaussian_process, generalisation, "
        "graph_losses, graph_preconditioner, implicit_steps, insr, lagrangian, "
        "learned_aggregation, lsm_study, matrices, mgno_gpu, mgno_rough, multigrid_gpu, "
        "peak_memory, preconditioners, refinement, refinement_sphere, relax, residual_floor, "
        "rollouts, scaling, search, spacetime, spectral_gpu, steppers_gpu, study, superiority, "
        "winner, zoo.",
    )
    choices = (*BENCHES, *COMMANDS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(choices))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV files")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in choices]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(choices)}")
    if len(arguments.names) == 1 and arguments.names[0] in BENCHES:
        measure(BENCHES[arguments.names[0]], arguments.out)
        return
    print(", ".join(f"{k} {v}" for k, v in describe_machine().items()), flush=True)
    # One process per bench: memory that one bench has freed makes allocations of the next cheaper,
    # and not equally for both sides.
    for name in arguments.names or choices:
        module = [f"benchmarks.{name}"] if name in COMMANDS else ["benchmarks", name]
        command = [sys.executable, "-m", *module, "--out", str(arguments.out)]
        subprocess.run(command, check=True)


def measure(bench: Bench, folder: Path) -> None:
    """Run one bench, print its outcome and write its CSV file."""
    outcome = run(bench)
    conditions = f"{bench.size}, {bench.dtype}, threads {bench.threads}"
    print(f"\n{bench.name}: {conditions}, {bench.repeats} turns")
    print(f"  {outcome.work}  {bench.work_name}")
    print(f"  {outcome.reference}  {bench.reference_name}")
    print(
        f"  {outcome.ratio:.2f} times faster, {outcome.cpu_ratio:.2f} by processor time"
        + (f"; results differ by {outcome.difference:.1e}" if bench.tolerance else "")
    )
    write(bench, outcome, folder)


if __name__ == "__main__":
    main()
