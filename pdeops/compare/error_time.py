"""Error-time study of operators and classical solvers against a reference on a finer grid."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.problems.problem import Problem
from ..domain import Grid, Placement
from ..domain.transfer import Transfer
from .candidates import Candidate, ClassicalCandidate, FittedCandidate, Inputs, OperatorCandidate
from .comparison import Comparison
from .duel import Cost
from .fitted import Fits
from .machine import describe_machine
from .measure import measure
from .methods import ClassicalMethod, method_name, methods_for
from .tables import grid_name
from .timing import Clock

log = logging.getLogger("pdeops")

MIN_NODES = 9  # per axis; coarser grids do not resolve these problems
REFERENCE_FACTOR = 4  # refinement of the reference relative to the finest grid compared
REFERENCE_RTOL = 1e-10
MIN_TOLERANCE = 1e-14  # below it, round-off of float64 decides when an iteration stops
MAX_REFERENCE_NODES = 5_000_000  # about 1 GB during the solve


# Maps physical inputs on any grid, (b, c, *space) float32, to physical solutions on that grid.
Operator = Callable[[Tensor], Tensor]


def study(
    operator: Operator | Mapping[str, Operator],
    problem: Problem | None,
    grid: Grid,
    *,
    seed: int,
    num_samples: int = 16,
    training_seconds: float | Mapping[str, float | None] | None = None,
    data_seconds: float | Mapping[str, float | None] | None = None,
    classical: Sequence[ClassicalMethod] | None = None,
    classical_scales: Sequence[float] = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0),
    tolerances: Sequence[float] = (1e-1, 1e-2, 1e-4, 1e-8),
    operator_scales: Sequence[float] = (1 / 2, 1.0, 2.0),
    batch_sizes: Sequence[int] = (1, 8, 32),
    fits: Fits | None = None,
    against: Sequence[str] = (),
    repeats: int = 5,
    clock: Clock | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare the errors and seconds per solve of operators and classical solvers.

    The test problems are samples 0 .. num_samples - 1 of `seed`; each is the same function on every
    grid. The reference is solved to 1e-10 on a grid 4 times finer than the finest grid compared,
    and restricted to the nodes of `grid`. Every candidate receives the input at the nodes of its
    grid. The measured time includes the transfer of its solution to the nodes of `grid`: values at
    common nodes are copied, others interpolated by a cubic spline. Errors are relative L2 errors
    with the quadrature of `grid`.

    Calls are interleaved: every candidate has one call per round. The first round is not counted
    (compilation, caches). The seconds of a row are the median of its calls, each of which includes
    the set-up. Classical methods have one thread; operators have one or all threads of torch,
    whichever is faster.

    Args:
        operator: a callable on physical fields, as `pdeops.load_run` returns, or several by name.
        problem: the equation and its random inputs.
        grid: the grid of the training data, at whose nodes all errors are evaluated.
        seed: the seed of the test problems; it must differ from that of the training data.
        training_seconds, data_seconds: seconds spent before the first prediction, one value for all
            operators or one per name; None if not known.
        classical: the classical methods; by default `methods_for(problem)`.
        classical_scales, operator_scales: numbers of cells relative to `grid`, one per grid.
        tolerances: relative residuals at which the iterative methods stop.
        batch_sizes: problems per call of the operator.
        fits: surrogates without a network, fitted to the operators' training samples on `grid`.
        against: names of classical methods that the verdict also compares with, on `grid`.
        repeats: minimum number of timed calls per row.
        clock: source of the time; by default the clocks of this machine.
        progress: called with (calls done, total calls).

    Raises:
        ValueError: `problem` is None, the reference does not converge, an argument is out of
            range, or two classical methods have the same name.
    """
    if problem is None:
        raise ValueError(
            "A comparison needs the equation behind the data, to compute a reference on a finer "
            "grid; this data file names none that pdeops can solve. Train on data made by "
            "`pdeops data generate`."
        )
    if num_samples < 1 or repeats < 1 or min(batch_sizes, default=0) < 1:
        raise ValueError(
            "A comparison needs at least one sample, one repeat and one batch size, each >= 1; "
            f"got num_samples={num_samples}, repeats={repeats}, "
            f"batch_sizes={tuple(batch_sizes)}."
        )
    check_tolerances(tolerances)
    operators = dict(operator) if isinstance(operator, Mapping) else {"operator": operator}
    fits = fits or Fits()
    methods = methods_for(problem) if classical is None else classical
    names = [m.name for m in methods]
    if len(set(names)) < len(names):
        raise ValueError(
            f"Classical methods need different names; got {', '.join(names)}. Rename a function."
        )
    asked = [method_name(name, names) for name in against]
    notes: list[str] = []
    fitting = _scales_that_fit(grid, [*classical_scales, *operator_scales], notes)
    inputs = Inputs(problem, seed)
    candidates: list[Candidate] = [
        *_operator_candidates(
            operators, grid, operator_scales, fitting, batch_sizes, inputs, notes
        ),
        *_classical_candidates(
            *(methods, grid, classical_scales, fitting, tolerances, inputs, notes),
        ),
        *(
            FittedCandidate(
                *(f.name, grid, torch.get_num_threads(), batch),
                transfer=Transfer(grid, grid),
                inputs=inputs,
                fitted=f,
            )
            for f in fits.fitted
            for batch in batch_sizes
        ),
    ]
    fine = grid.refined(reference_factor(grid, max(fitting)))
    log.info("solving %d references on %s", num_samples, grid_name(fine.shape))
    truth = solve_reference(problem, grid, fine, seed, num_samples)
    log.info("measuring %d rows of operators and classical solvers", len(candidates))
    load = measure(candidates, grid, truth, repeats=repeats, clock=clock, progress=progress)
    return Comparison(
        rows=[c.row() for c in candidates],
        costs=costs_of(operators, fits, training_seconds, data_seconds),
        problem=problem.name,
        grid=grid.shape,
        reference=fine.shape,
        num_samples=num_samples,
        seed=seed,
        context=describe_machine()
        | {"threads": f"up to {torch.get_num_threads()} for operators, 1 for classical solvers"},
        notes=[*_method_notes(grid, fine, num_samples, seed, repeats), *fits.notes, *notes],
        load=load,
        against=asked,
    )


def check_tolerances(tolerances: Sequence[float]) -> None:
    """Raise a ValueError if a tolerance is no relative residual that float64 can reach."""
    if wrong := [t for t in tolerances if not MIN_TOLERANCE <= t < 1]:
        raise ValueError(
            f"Tolerances are relative residuals in [{MIN_TOLERANCE:g}, 1); below that range "
            f"round-off decides. Got {', '.join(f'{t:g}' for t in wrong)}."
        )


def costs_of(
    operators: Iterable[str],
    fits: Fits,
    training_seconds: float | Mapping[str, float | None] | None,
    data_seconds: float | Mapping[str, float | None] | None,
) -> dict[str, Cost]:
    """The costs of operators and of surrogates; these have the data of the first operator."""
    costs = {n: Cost(_for(n, training_seconds), _for(n, data_seconds)) for n in operators}
    data = next((cost.data_seconds for cost in costs.values()), None)
    return costs | {f.name: Cost(f.seconds, data) for f in fits.fitted}


def _for(name: str, seconds: float | Mapping[str, float | None] | None) -> float | None:
    return seconds.get(name) if isinstance(seconds, Mapping) else seconds


def _scaled(grid: Grid, scale: float) -> Grid:
    """The grid with `scale` times as many cells per axis, rounded to an integer."""
    pairs = zip(grid.shape, grid.cells, strict=True)
    return grid.with_shape([n + round(m * scale) - m for n, m in pairs])


def reference_factor(grid: Grid, scale: float = 1.0) -> int:
    """Refinement of the reference relative to `grid`; odd for cell centres, so that they nest."""
    factor = REFERENCE_FACTOR * math.ceil(scale)
    return factor + 1 if Placement.CENTERS in grid.placement else factor


def _scales_that_fit(grid: Grid, scales: Sequence[float], notes: list[str]) -> list[float]:
    """The scales whose grids have enough nodes and whose reference is not too large."""
    fit = []
    for scale in sorted(set(scales)):
        if scale < 1 and min(round(m * scale) for m in grid.cells) + 1 < MIN_NODES:
            continue
        num_nodes = grid.refined(reference_factor(grid, scale)).num_nodes
        if scale > 1 and num_nodes > MAX_REFERENCE_NODES:
            notes.append(f"Left out: grids {scale:g} times finer; their reference is too large.")
            continue
        fit.append(scale)
    if not fit:
        raise ValueError(
            f"No grid is left to compare on: scales {sorted(set(scales))} of "
            f"{grid_name(grid.shape)} have fewer than {MIN_NODES} nodes per axis. Include scale "
            "1."
        )
    return fit


def _operator_candidates(
    operators: Mapping[str, Operator],
    grid: Grid,
    scales: Sequence[float],
    fitting: Sequence[float],
    batch_sizes: Sequence[int],
    inputs: Inputs,
    notes: list[str],
) -> Iterator[OperatorCandidate]:
    for name, operator in operators.items():
        for scale in scales:
            if scale not in fitting:
                continue
            scaled = _scaled(grid, scale)
            rows = [
                OperatorCandidate(
                    *(name, scaled, torch.get_num_threads(), batch),
                    transfer=Transfer(scaled, grid),
                    inputs=inputs,
                    operator=operator,
                )
                for batch in batch_sizes
            ]
            try:
                rows[0].predict(rows[0].prepare([0]))
            except ValueError as refusal:  # e.g. more modes than this grid has
                if scale == 1:
                    raise
                notes.append(
                    f"Left out: {name} on {grid_name(scaled.shape)}; it refused: {refusal}"
                )
                continue
            yield from rows


def _classical_candidates(
    methods: Sequence[ClassicalMethod],
    grid: Grid,
    scales: Sequence[float],
    fitting: Sequence[float],
    tolerances: Sequence[float],
    inputs: Inputs,
    notes: list[str],
) -> Iterator[ClassicalCandidate]:
    for method in methods:
        for scale in scales:
            if scale not in fitting:
                continue
            scaled = _scaled(grid, scale)
            if method.max_nodes is not None and scaled.num_nodes > method.max_nodes:
                notes.append(
                    f"Left out: {method.name} on {grid_name(scaled.shape)}; too slow there."
                )
                continue
            transfer = Transfer(scaled, grid)
            for rtol in tolerances if method.iterative else [None]:
                yield ClassicalCandidate(
                    *(method.name, scaled, 1, 1, rtol),
                    transfer=transfer,
                    inputs=inputs,
                    solver=method,
                )


def solve_reference(
    problem: Problem, grid: Grid, fine: Grid, seed: int, num_samples: int
) -> Float[Tensor, "sample channel *space"]:
    """The solutions on the fine grid at the nodes of `grid`, which are nodes of the fine grid."""
    take, truth = Transfer(fine, grid), []
    for index in range(num_samples):
        result = problem.solve(problem.sample_input(fine, seed, index), fine, REFERENCE_RTOL)
        if not result.converged:
            raise ValueError(
                f"The reference of sample {index} on {grid_name(fine.shape)} did not reach "
                f"{REFERENCE_RTOL:.0e}: {result.reason}. Compare on a coarser grid or an easier "
                "problem."
            )
        truth.append(take(result.x)[None])
    return torch.stack(truth)


def _method_notes(grid: Grid, fine: Grid, num_samples: int, seed: int, repeats: int) -> list[str]:
    test = grid_name(grid.shape)
    return [
        f"Errors: relative L2 at the nodes of the {test} test grid, the grid of the training "
        f"data, mean over {num_samples} problems (seed {seed}) outside of the training data, "
        f"for all methods against a reference on {grid_name(fine.shape)} solved to "
        f"{REFERENCE_RTOL:.0e}.",
        "Input: given at the nodes of each method's grid; its cost is not counted. "
        f"The time includes the transfer of a solution on another grid to the {test} nodes: "
        "values at common nodes are copied, others interpolated by a cubic spline.",
        f"Time: wall-clock per solve, median of at least {repeats} calls, the methods' calls "
        "interleaved, after one call that is not counted (compilation). For an operator the "
        "time of a batch / its size. Classical set-up (assembly, hierarchy, factorisation) is "
        "part of every solve.",
        "Threads: one or all for an operator, whichever was faster; one for a classical solve. "
        "Running as many classical solves in parallel as there are threads would gain up to that "
        "factor.",
        "A classical iteration starts from zero and stops at the tolerance, a relative residual.",
    ]
