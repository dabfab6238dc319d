"""Preconditioners by name: classical ones, trained runs, and weights that pdeops ships."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..linop import LinearOperator
    from ..solvers.operators.recognise import Structure


def default_preconditioner(found: "Structure") -> str:
    """The name of what is best for such a matrix, as `pdeops solve --preconditioner` takes it."""
    if found.operator is None:
        return "ic0"
    assert found.ghosts is not None
    if found.ghosts.any():
        return "elimination"
    return "multigrid"


def build(name: str, A: "LinearOperator", found: "Structure") -> "LinearOperator | None":
    """The preconditioner of this name for A.

    Raises:
        NotForCGError: it is a network for conjugate directions; `directions` gives those.
        ValueError: no such name, or it is not for A.
    """
    from ..nearest import did_you_mean
    from .learned_preconditioner import learned_preconditioner
    from .preconditioner import shipped_weights

    if name in FOR_STENCILS and found.operator is not None:
        return FOR_STENCILS[name](found)
    if name in CLASSICAL:
        return CLASSICAL[name](A)
    shipped = shipped_weights()
    if name not in (*FOR_STENCILS, *shipped) and not Path(name).exists():
        choices = [*FOR_STENCILS, *CLASSICAL, *shipped]
        raise ValueError(
            f"No preconditioner {name!r}: neither a run nor one of {', '.join(choices)}."
            f"{did_you_mean(name, choices)}"
        )
    if found.operator is None:
        raise ValueError(
            f"{name} is for matrices that are a stencil on a grid; this one is none: "
            f"{found.reason}. Use --preconditioner {', '.join(CLASSICAL)}."
        )
    return learned_preconditioner(name, found.operator)


def directions(name: str, found: "Structure") -> Callable[[Any], Any]:
    """The directions that a trained network proposes for the `operator` of a structure, for
    `deep_conjugate_direction`: ghosts are eliminated before, and put back."""
    from .preconditioner import load_correction

    assert found.ghosts is not None
    network: Any = load_correction(name)
    net = network.on(found.inner)
    return (lambda r: found.extend(net(found.reduce(r)), r)) if found.ghosts.any() else net


def _multigrid(found: "Structure") -> "LinearOperator":
    """In single precision, if A stays definite in it: as many iterations, each of them faster."""
    import torch

    from ..solvers import Multigrid

    assert found.operator is not None
    with suppress(ValueError):  # jumps beyond single precision
        return Multigrid(found.operator.to(torch.float32))
    return Multigrid(found.operator)


def _elimination(found: "Structure") -> "LinearOperator":
    from ..solvers import GhostElimination

    return GhostElimination(found)


def _algebraic(A: "LinearOperator") -> "LinearOperator":
    """Ruge-Stüben where no coupling is positive, else smoothed aggregation."""
    import scipy.sparse

    from ..solvers import RugeStueben, SmoothedAggregation

    positive = scipy.sparse.tril(A.to_csr(), -1).max() > 0
    return SmoothedAggregation(A) if positive else RugeStueben(A)


def _incomplete(A: "LinearOperator") -> "LinearOperator":
    from ..solvers import IncompleteCholesky

    return IncompleteCholesky(A)


def _relaxed(A: "LinearOperator") -> "LinearOperator":
    from ..solvers import SSOR

    return SSOR(A, omega=1.5)


def _diagonal(A: "LinearOperator") -> "LinearOperator":
    from ..solvers import Diagonal

    return Diagonal(A)


FOR_STENCILS: dict[str, Callable[[Any], Any]] = {
    "multigrid": _multigrid,
    "elimination": _elimination,
}
CLASSICAL: dict[str, Callable[[Any], Any]] = {
    "amg": _algebraic,
    "ic0": _incomplete,
    "ssor": _relaxed,
    "jacobi": _diagonal,
    "none": lambda A: None,
}
