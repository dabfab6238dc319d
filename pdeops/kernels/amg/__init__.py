"""One V(1,1) cycle of algebraic multigrid on a hierarchy of sparse matrices.

The smoother is Gauss-Seidel within blocks of rows, in reversed order after the correction
(`layout.Level`). It depends on the order of the rows, so the only form is a compiled loop on the
CPU (`cpu.py`); `reference.py` defines the same with dense matrices.
"""

from collections.abc import Sequence
from typing import Any

from numpy import ndarray

from .layout import WIDE, Level

__all__ = ["WIDE", "Level", "bind"]


def bind(levels: Sequence[Level], coarse: ndarray) -> Any:
    """The cycle for one right-hand side: `run(b, x)` computes x = M b in the dtype of `coarse`.

    Args:
        levels: fine to coarse, without the coarsest.
        coarse: the symmetric (pseudo-)inverse on the coarsest level.
    """
    from .cpu import Cycle

    return Cycle(levels, coarse)
