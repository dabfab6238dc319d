"""Rows and comparisons with known figures."""

from pdeops.compare.comparison import Comparison
from pdeops.compare.duel import Cost, Row


def row(method, error, seconds, kind="classical", grid=(33, 33), batch=1, tolerance=1e-4):
    return Row(
        method=method,
        kind=kind,
        grid=grid,
        tolerance=tolerance if kind == "classical" else None,
        batch=batch,
        error=error,
        error_std=error / 10,
        error_max=2 * error,
        seconds=seconds,
        seconds_low=0.9 * seconds,
        seconds_high=1.2 * seconds,
        setup_seconds=seconds / 4 if kind == "classical" else None,
        iterations=5.0 if kind == "classical" else None,
        converged=True,
        threads=1,
        dtype="float64" if kind == "classical" else "float32",
    )


def net(error, seconds, batch=1, grid=(33, 33), name="net"):
    return row(name, error, seconds, kind="operator", batch=batch, grid=grid)


CLASSICAL = [
    row("solver", 0.10, 1e-4, grid=(9, 9)),
    row("solver", 0.03, 4e-4, grid=(17, 17)),
    row("solver", 0.01, 2e-3),
]


def comparison(*operators, cost=None, classical=CLASSICAL, **given):
    return Comparison(
        rows=[*operators, *classical],
        costs={"net": cost or Cost(90.0, 10.0)},
        problem="darcy",
        grid=(33, 33),
        reference=(257, 257),
        num_samples=16,
        seed=3,
        context={"processor": "a, with a comma", "cores": "2"},
        notes=["Measured with care."],
        **given,
    )


def fit(error, seconds, batch=1, name="POD"):
    return row(name, error, seconds, kind="reduced", batch=batch)
