"""python -m benchmarks.lagrangian convection burgers varying: PINN and LPINN by random features.

Every method has as many features and points and the same least-squares solver: 250 random tanh
features of (cos x, sin x, t) per network, 64 x 48 points, float64; the spread of the features is
chosen for each formulation. The rows are PINN, with causal weights, in time windows (one per radian
that the mean speed crosses, ten at most), and in the frame that moves with the mean speed; LPINN
without and with the drift subtracted, and the published LPINN with diffusion in labels. With
--trained, the methods of `trained_fields` instead: networks whose hidden layers are trained. The
classical solver is ETDRK4 on the smallest grid of
powers of two, with Courant number 1/2, whose error is not larger. Errors are relative to |u - c| in
L² over 401 points and 20 times in (0, 1]. Seconds are processor time with one thread.

Each row is written when it is measured; rows that the file holds already are not measured again.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pdeops.models import LPINN, PINN
from pdeops.tasks.random_features import fit_random_features

from . import trained_fields
from .bench import RESULTS, add_missing
from .lagrangian_problems import PROBLEMS, Problem, Solution, classical

FEATURES = 250
SPREAD = {"deviation": 0.7, "time_deviation": 0.7}
# Chosen by hand for each problem.
PINN_SPREAD = {
    "convection": {"deviation": 0.7, "time_deviation": 2.0},
    "burgers": {"deviation": 3.0, "time_deviation": 2.0},
    "varying": {"deviation": 0.7, "time_deviation": 2.0},
}
KEY = ("problem", "c", "viscosity", "method")


def pinn(p: Problem, *, moving: bool = False, windows: int = 1, causality: float = 0.0) -> Solution:
    """A PINN, possibly in the moving frame."""
    equation = p.in_moving_frame() if moving else p.equation
    field = PINN(equation, p.u0, 1.0, hidden_channels=FEATURES, num_layers=1, windows=windows)
    fit_random_features(field, causality=causality, **PINN_SPREAD[p.name])
    return p.in_fixed_frame(field) if moving else p.of_field(field)


def lpinn(p: Problem, **arguments: Any) -> Solution:
    """An LPINN."""
    one = {"position_layers": 1, "value_layers": 1}
    field = LPINN(p.equation, p.u0, 1.0, hidden_channels=FEATURES, **one, **arguments)
    fit_random_features(field, **SPREAD)
    return p.of_field(field)


METHODS: dict[str, Callable[[Problem], Solution]] = {
    "PINN": pinn,
    "PINN, causal weights": lambda p: pinn(p, causality=1.0),
    "PINN, time windows": lambda p: pinn(p, windows=max(1, min(10, round(p.speed)))),
    "PINN, moving frame": lambda p: pinn(p, moving=True),
    "LPINN, drift not subtracted": lambda p: lpinn(p, subtract_drift=False),
    "LPINN": lpinn,
    "LPINN, diffusion in labels": lambda p: lpinn(p, metric="label"),
}


def measure(
    p: Problem, method: str, solve: Callable[[Problem], Solution]
) -> list[dict[str, object]]:
    """The cells of a method, with ETDRK4 of at most its error."""
    start = time.process_time()
    solution = solve(p)
    seconds = time.process_time() - start
    try:
        error = p.error(solution)
    except ValueError as failure:  # the map has folded in the wrong place
        print(f"{method}, c = {p.c}: {failure}")
        error = math.nan
    nodes, reference = classical(p, error) if error < 1 else (0, math.nan)
    cells = {
        "error": f"{error:.2e}",
        "seconds": f"{seconds:.2f}",
        "etdrk4_nodes": nodes,
        "etdrk4_seconds": f"{reference:.4f}",
    }
    return [cells]


def key(p: Problem, method: str) -> dict[str, str]:
    """The cells that name a row."""
    return dict(zip(KEY, (p.name, f"{p.c:g}", f"{p.viscosity:g}", method), strict=True))


def cases(
    problem: str, methods: Mapping[str, Callable[[Problem], Solution]]
) -> Iterator[tuple[dict[str, str], Callable[[], list[dict[str, object]]]]]:
    """The rows of a problem, for `add_missing`."""
    for p in PROBLEMS[problem]():
        for method, solve in methods.items():
            if "labels" not in method or p.viscosity > 0:
                yield key(p, method), partial(measure, p, method, solve)


def main() -> None:
    """Run the chosen problems and write lagrangian_<problem>.csv or trained_<problem>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="+", choices=PROBLEMS)
    parser.add_argument("--trained", action="store_true", help="train the hidden layers too")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    prefix, methods = ("lagrangian", METHODS)
    if arguments.trained:
        prefix, methods = ("trained", trained_fields.METHODS)
    for name in arguments.problems:
        add_missing(arguments.results / f"{prefix}_{name}.csv", cases(name, methods))


if __name__ == "__main__":
    main()
