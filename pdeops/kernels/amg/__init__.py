"""Algebraic multigrid on sparse matrices: the hierarchy of Ruge and Stüben, and one V(1,1) cycle.

The splitting of a level and the smoother depend on the order of the rows, so the only fast form is
compiled loops on the CPU: `setup.py` (twin: `setup_reference.py`), and `cpu.py` for the cycle of
any hierarchy (twin: `reference.py`, which has the names of the other twin, too). The smoother is
Gauss-Seidel within blocks of rows, in reversed order after the correction (`layout.Level`).
"""

from collections.abc import Sequence
from typing import Any

from numpy import ndarray

from ..forms import ArrayForms
from ..runtime.first_calls import once
from .layout import CSR, WIDE, Level, arrays_of

__all__ = [
    "CSR",
    "WIDE",
    "Level",
    "arrays_of",
    "bind",
    "hierarchy",
    "level",
    "near",
    "transposed",
    "within",
]

FORMS = ArrayForms(__name__)


@FORMS.or_twin
def hierarchy(A: CSR, theta: float, coarsest: int) -> tuple[list[tuple[CSR, CSR, CSR]], CSR]:
    """A, P and R = Pᵀ of each level of Ruge and Stüben's coarsening, fine to coarse, and the
    matrix of the coarsest level.

    That is empty if a level has no strong couplings: there the smoother suffices.

    Args:
        A: symmetric with positive diagonal entries, columns sorted.
        theta: threshold of strong couplings.
        coarsest: a level of so many unknowns or fewer is the last.
    """
    return _setup().hierarchy(A, theta, coarsest)


@FORMS.or_twin
def level(A: CSR, P: CSR, R: CSR, dtype: Any) -> Level:
    """The level of a symmetric matrix, every row of which has a positive diagonal entry."""
    return _setup().level(A, P, R, dtype)


@FORMS.or_twin
def transposed(A: CSR, count: int) -> CSR:
    """Aᵀ for A with `count` columns; its columns are sorted."""
    return _setup().transposed(A, count)


@FORMS.or_twin
def near(A: CSR, scattered: float) -> tuple[CSR, ndarray | None]:
    """A symmetric A in an order of rows in which coupled rows are near each other, and this order.

    None, and A itself, where the mean distance of coupled rows is below `scattered` times their
    number: then loops read nearby memory already.
    """
    return _setup().near(A, scattered)


@FORMS.or_twin
def within(A: CSR, root: int) -> tuple[ndarray, ndarray]:
    """The rows that are reached from `root`, nearest first, and the number of those within r edges
    for each r from 0 on."""
    return _setup().within(A, root)


@FORMS.or_twin
def bind(levels: Sequence[Level], coarse: ndarray) -> Any:
    """The cycle for one right-hand side: `run(b, x)` computes x = M b in the dtype of `coarse`.

    Args:
        levels: fine to coarse, without the coarsest.
        coarse: the symmetric (pseudo-)inverse on the coarsest level.
    """
    with once():
        from .cpu import Cycle

    return Cycle(levels, coarse)


def _setup() -> Any:
    with once():
        from . import setup
    return setup
