"""Bad input to every solver: an error that teaches or `converged=False` with its reason, and never
a wrong answer in silence.

Rows are inputs, columns solvers. A cell is what has to happen: `refused` (a ValueError), `failed`
(not converged) or `solved`; a row says it for all columns, and for some another one. Whatever the
table says, an answer that claims to have converged is checked against the matrix.
"""

import math
import os
import re
from functools import partial

import numpy as np
import pytest
import scipy.sparse
import torch

from pdeops.domain import Grid
from pdeops.solvers import (
    SOR,
    SSOR,
    Diffusion,
    FastPoisson,
    IncompleteCholesky,
    Laplacian,
    Matrix,
    Multigrid,
    RugeStueben,
    SmoothedAggregation,
    bicgstab,
    cg,
    flexible_cg,
    solve_poisson,
    solve_sparse,
    sor,
)

UNHOOKED = os.environ.get("JAXTYPING_DISABLE") == "1"


def with_M(solve, make):
    """The solver with a preconditioner made from A."""
    return lambda A, b, **limits: solve(A, b, M=make(A), **limits)


KRYLOV = {
    "cg": cg,
    "flexible_cg": flexible_cg,
    "bicgstab": bicgstab,
    "cg + Multigrid": with_M(cg, Multigrid),
    "cg + IncompleteCholesky": with_M(cg, IncompleteCholesky),
    "cg + SSOR": with_M(cg, partial(SSOR, omega=1.5)),
    "cg + FastPoisson": with_M(cg, FastPoisson.of),
    "cg + RugeStueben": with_M(cg, RugeStueben),
    "cg + SmoothedAggregation": with_M(cg, SmoothedAggregation),
    "bicgstab + SOR": with_M(bicgstab, partial(SOR, omega=1.0)),
}
SWEEPS = {"sor": partial(sor, omega=1.5)}
ITERATIVE = {**KRYLOV, **SWEEPS}
SOLVERS = {**ITERATIVE, "solve_sparse": solve_sparse}
STENCIL_ONLY = [name for name in SOLVERS if "ultigrid" in name or "FastPoisson" in name]
DEFINITE_ONLY = [name for name in KRYLOV if name.split(" ")[0] in ("cg", "flexible_cg")]

# Operators and right-hand sides.

GRID = Grid((9, 9))  # 7 x 7 unknowns
BOX = Grid((8, 8), boundary="neumann", placement="centers")


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def poisson():
    return Laplacian(GRID), noise(7, 7)


def spoiled(value, b=None):
    u = noise(7, 7) if b is None else b
    u[2, 3] = value
    return u


def walls(*fluid, whole=False):
    """Fluid at these cells of a closed box only, or everywhere but there."""
    mask = torch.full(BOX.shape, whole)
    for cell in fluid:
        mask[cell] = not whole
    return Diffusion(1.0, BOX, fluid=mask)


def unbalanced():
    """Two closed rooms: b sums to zero, but not in each of them."""
    A = walls((slice(None), 4), whole=True)
    b = torch.zeros(BOX.shape, dtype=torch.float64)
    b[:, 1], b[:, 6] = 1.0, -1.0
    return A, b


def shifted(**declared):
    """-Δ - 200: a negative reaction, indefinite."""
    csr = Laplacian(GRID).to_csr() - 200 * scipy.sparse.eye_array(49, format="csr")
    return Matrix(csr, GRID.interior, **declared)


def skewed(hidden):
    """-Δ with a strong wind: definite, but not symmetric."""
    csr = Laplacian(GRID).to_csr()
    wind = scipy.sparse.diags_array([np.full(48, 300.0), np.full(48, -300.0)], offsets=[1, -1])
    A = Matrix(csr + wind.tocsr(), GRID.interior)
    if hidden:
        A.symmetric = A.positive_definite = A.semidefinite = True
    return A


SHAPE = r"b must .*\(7, 7\).* got .*\(.*Boundary nodes are not unknowns"
OUTSIDE = "outside the range of A"
refused, failed, solved = "refused", "failed", "solved"
NO_STENCIL = dict.fromkeys(STENCIL_ONLY, (refused, "needs a Diffusion.*; got Matrix.* use "))

# name: (A and b, what is passed on, solvers, (what happens, what is said), exceptions to it)
ROWS = {
    "NaN in b": (
        lambda: (poisson()[0], spoiled(math.nan)), {}, SOLVERS, (failed, "b holds NaN or inf"), {},
    ),
    "infinity in b": (
        lambda: (poisson()[0], spoiled(math.inf)), {}, SOLVERS, (failed, "b holds NaN or inf"), {},
    ),
    "|b| overflows": (
        lambda: (poisson()[0], 1e200 * noise(7, 7)), {}, SOLVERS, (failed, "norm overflows"), {},
    ),
    "|b| underflows": (
        lambda: (poisson()[0], 1e-200 * noise(7, 7)), {}, SOLVERS, (failed, "Scale b up"), {},
    ),
    "zero b": (
        lambda: (poisson()[0], torch.zeros(7, 7).double()), {}, SOLVERS, (solved, "b = 0"), {},
    ),
    "a row too few": (lambda: (poisson()[0], noise(6, 7)), {}, SOLVERS, (refused, SHAPE), {}),
    "flat b": (lambda: (poisson()[0], noise(49)), {}, SOLVERS, (refused, SHAPE), {}),
    "b with its boundary": (lambda: (poisson()[0], noise(9, 9)), {}, SOLVERS, (refused, SHAPE), {}),
    "float32 b, float64 A": (
        lambda: (poisson()[0], noise(7, 7).float()), {"rtol": 1e-5}, SOLVERS, (solved, ""),
        {},
    ),
    "float32 b, beyond its digits": (
        lambda: (poisson()[0], noise(7, 7).float()), {"rtol": 1e-11}, SOLVERS,
        (failed, "round-off|sparse direct: .* > 1e-11"),
        {},
    ),
    "x0 of NaN": (
        poisson, {"x0": spoiled(math.nan)}, ITERATIVE, (failed, "not finite: x0.* holds NaN"), {},
    ),
    "x0 of float32": (
        poisson, {"x0": noise(7, 7).float()}, ITERATIVE,
        (refused, "x0 must have b's dtype torch.float64; got torch.float32"), {},
    ),
    "x0 of another shape": (
        poisson, {"x0": noise(7, 6)}, ITERATIVE,
        (refused, r"x0 must have b's shape \(7, 7\); got \(7, 6\)"), {},
    ),
    "rtol = 0": (poisson, {"rtol": 0.0}, SOLVERS, (refused, "positive.*; got 0.0.*near 1e-8"), {}),
    "rtol < 0": (poisson, {"rtol": -1e-8}, SOLVERS, (refused, "positive.*got -1e-08"), {}),
    "rtol is NaN": (poisson, {"rtol": math.nan}, SOLVERS, (refused, "positive.*got nan"), {}),
    "rtol is infinite": (poisson, {"rtol": math.inf}, SOLVERS, (refused, "finite; got inf"), {}),
    "no iteration": (
        poisson, {"max_iterations": 0}, ITERATIVE,
        (failed, "max_iterations = 0: .*1.0e.00 .b. > 1e-08"), {},
    ),
    "less than no iteration": (
        poisson, {"max_iterations": -1}, ITERATIVE,
        (refused, "max_iterations must be at least 0; got -1"), {},
    ),
    "all solid": (lambda: (walls(), noise(8, 8)), {}, SOLVERS, (failed, OUTSIDE), {}),
    "all solid, zero b": (
        lambda: (walls(), torch.zeros(8, 8).double()), {}, SOLVERS, (solved, "b = 0"), {},
    ),
    "one fluid cell": (lambda: (walls((3, 3)), noise(8, 8)), {}, SOLVERS, (failed, OUTSIDE), {}),
    "one fluid cell, b there": (
        lambda: (walls((3, 3)), 1.0 * (walls((3, 3)).regions.labels > 0).double()), {}, SOLVERS,
        (failed, OUTSIDE), {},
    ),
    "one unknown": (
        lambda: (Laplacian(Grid((3, 3))), noise(1, 1)), {}, SOLVERS, (solved, ""), {},
    ),
    "one unknown, floating": (
        lambda: (Laplacian(BOX.with_shape((1, 1))), noise(1, 1)), {}, SOLVERS,
        (failed, OUTSIDE), {},
    ),
    "inconsistent": (lambda: (Laplacian(BOX), noise(8, 8)), {}, SOLVERS, (failed, OUTSIDE), {}),
    "b in the kernel": (
        lambda: (Laplacian(BOX), torch.ones(8, 8).double()), {}, SOLVERS, (failed, OUTSIDE), {},
    ),
    "two rooms, one balance": (unbalanced, {}, SOLVERS, (failed, OUTSIDE), {}),
    "an empty row": (
        lambda: (Matrix(np.diag([1.0, 0.0, 2.0])), noise(3)), {}, SOLVERS,
        (failed, "outside .*range"), NO_STENCIL,
    ),
    "indefinite": (
        lambda: (shifted(), noise(7, 7)), {}, SOLVERS, (solved, ""),
        {
            **dict.fromkeys(
                DEFINITE_ONLY,
                (refused, "positive definite A; Matrix .*positive_definite=False. Use bicgstab"),
            ),
            **dict.fromkeys(SWEEPS, (failed, "diverges")),
            **NO_STENCIL,
        },
    ),
    "indefinite, declared definite": (
        lambda: (shifted(positive_definite=True), noise(7, 7)), {}, SOLVERS, (solved, ""),
        {
            **dict.fromkeys(DEFINITE_ONLY, (failed, "breakdown: .*[AM] is not positive definite")),
            **dict.fromkeys(SWEEPS, (failed, "diverges")),
            **NO_STENCIL,
        },
    ),
    "not symmetric": (
        lambda: (skewed(hidden=False), noise(7, 7)), {}, SOLVERS, (solved, ""),
        {
            **dict.fromkeys(DEFINITE_ONLY, (refused, "symmetric.*(Use|use) |symmetric=False")),
            **dict.fromkeys(SWEEPS, (failed, "diverges")),
            **NO_STENCIL,
        },
    ),
    "not symmetric, declared symmetric": (
        lambda: (skewed(hidden=True), noise(7, 7)), {}, SOLVERS, (solved, ""),
        {
            **dict.fromkeys(DEFINITE_ONLY, (failed, "breakdown|max_iterations|round-off")),
            **dict.fromkeys(SWEEPS, (failed, "diverges")),
            **NO_STENCIL,
        },
    ),
    "complex b": (
        lambda: (poisson()[0], noise(7, 7) + 0j), {}, SOLVERS,
        (refused, r"real floating-point numbers; got torch.complex128.*real and imaginary"), {},
    ),
    "integers": (
        lambda: (poisson()[0], torch.ones(7, 7, dtype=torch.int64)), {}, SOLVERS,
        (refused, r"real floating-point numbers; got torch.int64. Convert it by b.double"), {},
    ),
}  # fmt: skip


def needs_types(row, solver):
    """Whether what is wrong is a type, which the tests' own check of every signature
    (tests/conftest.py) refuses before the solver can."""
    message = ROWS[row][4].get(solver, ROWS[row][3])[1]
    return row in ("complex b", "integers", "x0 of another shape") or "needs a Diffusion" in message


CELLS = [
    pytest.param(row, solver, id=f"{row}: {solver}")
    for row in ROWS
    for solver in ROWS[row][2]
    if needs_types(row, solver) == UNHOOKED
]


@pytest.mark.parametrize(("row", "solver"), CELLS)
def test_cell(row, solver):
    make, limits, columns, usual, exceptions = ROWS[row]
    outcome, message = exceptions.get(solver, usual)
    A, b = make()
    if outcome == refused:
        with pytest.raises(ValueError, match=message):
            columns[solver](A, b, **limits)
        return
    result = columns[solver](A, b, **limits)
    assert result.converged == (outcome == solved), result
    assert re.search(message, result.reason), result.reason
    assert (result.x.shape, result.x.dtype) == (b.shape, b.dtype)
    rtol = limits.get("rtol", 1e-10 if columns[solver] is solve_sparse else 1e-8)
    if not math.isfinite(result.residual):
        assert outcome == failed
        return
    x, b = (u.double().numpy().ravel() for u in (result.x, b))
    scale = abs(b).max() or 1.0
    residual = np.linalg.norm((b - A.to_csr() @ x) / scale)
    relative = residual / (np.linalg.norm(b / scale) or 1.0)
    if result.converged:
        assert relative <= 1.01 * rtol
        assert result.residual <= rtol
    else:
        assert result.residual == pytest.approx(relative, rel=0.5), result


@pytest.mark.parametrize("name", SOLVERS)
def test_bad_columns_of_a_batch_do_not_spoil_the_good_ones(name):
    A, b = poisson()
    batch = torch.stack([b, spoiled(math.nan), 0 * b, 1e-200 * b, 2 * b])
    result = SOLVERS[name](A, batch)
    assert not result.converged
    assert "2 of 5 did not converge; column 1: b holds NaN" in result.reason
    assert [c.converged for c in result.columns] == [True, False, True, False, True]
    alone = SOLVERS[name](A, b).x
    assert not result.x[1:4].any()
    for j, factor in ((0, 1), (4, 2)):
        assert (result.x[j] - factor * alone).norm() <= 1e-7 * alone.norm()


@pytest.mark.parametrize(
    ("b", "grid", "message"),
    [
        (noise(6, 7), GRID, r"must have shape \(..., 7, 7\) .*got \(6, 7\).*Resample"),
        (spoiled(math.nan), GRID, "holds NaN or infinity. Check where"),
        (spoiled(math.inf), GRID, "holds NaN or infinity. Check where"),
        (noise(8, 8), BOX, r"solution only where the mean of f is zero; here .* Make b by"),
        (torch.ones(1, 1).double(), BOX.with_shape((1, 1)), "mean of f is zero"),
    ],
)
def test_fast_poisson(b, grid, message):
    with pytest.raises(ValueError, match=message):
        solve_poisson(b, grid)


def test_fast_poisson_of_little():
    """Zero, one unknown, and numbers whose squares underflow are no difficulty for it."""
    assert not solve_poisson(torch.zeros(7, 7).double(), GRID).any()
    assert solve_poisson(torch.ones(1, 1).double(), Grid((3, 3))).item() == pytest.approx(1 / 16)
    b = noise(7, 7)
    torch.testing.assert_close(solve_poisson(1e-200 * b, GRID) * 1e200, solve_poisson(b, GRID))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Diffusion(1.0, GRID, reaction=-200.0), "c must be .*not negative.*LU or MINRES"),
        (lambda: FastPoisson(GRID, reaction=-1.0), "reaction >= 0; got 1.0 and -1.0"),
        (lambda: solve_poisson(noise(7, 7), GRID, reaction=-1.0), "reaction >= 0"),
        (lambda: Diffusion(-1.0, GRID), r"must be positive .*\[-1, -1\]. For walls"),
        (lambda: Matrix(np.ones((2, 3))), r"square matrix; got shape \(2, 3\)"),
        (lambda: Matrix(np.diag([1.0, math.nan])), "holds NaN or infinity. Check where"),
        (lambda: IncompleteCholesky(skewed(hidden=False)), "needs a symmetric A; .* Use SOR"),
        (lambda: SSOR(skewed(hidden=False), 1.0), "symmetric only if A is; .* Use SOR"),
        (lambda: SSOR(Matrix(np.diag([1.0, -1.0])), 1.0), "negative entries. Use scipy.*minres"),
        (lambda: RugeStueben(skewed(hidden=False)), "needs a symmetric A; Matrix"),
        (lambda: SmoothedAggregation(skewed(hidden=False)), "needs a symmetric A; Matrix"),
        (lambda: Multigrid(Laplacian(GRID), sweeps=(0, 0)), r"at least one sweep.*got \(0, 0\)"),
        (lambda: SOR(Laplacian(GRID), 2.0), r"omega must lie in \(0, 2\).*; got 2.0"),
        (lambda: flexible_cg(*poisson(), directions=0), "directions must be at least 1.*; got 0"),
    ],
)
def test_operators_and_preconditioners_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


if UNHOOKED:

    @pytest.mark.parametrize("b", [noise(7, 7) + 0j, torch.ones(7, 7, dtype=torch.int64)])
    def test_cell_of_fast_poisson(b):
        with pytest.raises(ValueError, match=r"real floating-point numbers; got torch.*Convert"):
            solve_poisson(b, GRID)

    @pytest.mark.parametrize("dtype", [torch.complex128, torch.int64])
    def test_cell_of_an_operator(dtype):
        k = torch.ones(GRID.shape, dtype=dtype)
        with pytest.raises(ValueError, match=r"coefficient must be of real .* got torch.*Convert"):
            Diffusion(k, GRID)

else:

    @pytest.mark.slow
    def test_cells_that_check_types(passed_without_type_checks):
        number = sum(needs_types(row, solver) for row in ROWS for solver in ROWS[row][2])
        assert passed_without_type_checks(__file__, "test_cell") == number + 4
