"""python -m benchmarks [NAME ...]: run, print, write benchmarks/results/NAME.csv."""

import argparse

from .bench import machine, run, write
from .evolution import BENCHES as EVOLUTION
from .generation import BENCHES as GENERATION
from .loading import BENCHES as LOADING
from .mgno import BENCHES as MGNO
from .solvers import BENCHES as SOLVERS
from .spectral import BENCHES as SPECTRAL

BENCHES = {
    bench.name: bench for bench in [*SOLVERS, *EVOLUTION, *GENERATION, *LOADING, *MGNO, *SPECTRAL]
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(BENCHES)}")
    print(", ".join(f"{k} {v}" for k, v in machine().items()))
    for name in arguments.names or BENCHES:
        bench = BENCHES[name]
        outcome = run(bench)
        conditions = f"{bench.size}, {bench.dtype}, threads {bench.threads}"
        print(f"\n{name}: {conditions}, {bench.repeats} turns")
        print(f"  {outcome.work}  {bench.work_name}")
        print(f"  {outcome.reference}  {bench.reference_name}")
        print(
            f"  {outcome.ratio:.2f} times faster, {outcome.cpu_ratio:.2f} by processor time"
            + (f"; results differ by {outcome.difference:.1e}" if bench.tolerance else "")
        )
        write(bench, outcome)


if __name__ == "__main__":
    main()
