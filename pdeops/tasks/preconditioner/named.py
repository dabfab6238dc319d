"""Preconditioners by name: classical ones, trained runs, and shipped weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...linop import LinearOperator
from ...nearest import did_you_mean
from ...solvers.choice.methods import names
from ...solvers.operators.recognise import Structure
from ...solvers.preconditioners import CLASSICAL, FOR_STENCILS
from ..running import expanded
from ..shipped import shipped_weights
from .learned import as_matrix, is_for_matrices, learned_preconditioner
from .loading import load_correction


def build(name: str, A: LinearOperator, found: Structure) -> LinearOperator | None:
    """The preconditioner with this name for A.

    Raises:
        NotForCGError: the name is a network for conjugate directions; `directions` loads it.
        ValueError: the name is unknown, or the preconditioner does not apply to A.
    """
    if name in FOR_STENCILS and found.operator is not None:
        return FOR_STENCILS[name](found)
    if name in CLASSICAL:
        return CLASSICAL[name](A)
    shipped = shipped_weights()
    if name not in (*FOR_STENCILS, *shipped) and not _may_be_run(name):
        choices = [*names(), *shipped]
        folder = " neither a run (the folder has no checkpoints)" if Path(name).is_dir() else ""
        raise ValueError(
            f"No preconditioner {name!r}:{folder or ' neither a run'} nor one of "
            f"{', '.join(choices)}.{did_you_mean(name, choices)}"
        )
    if is_for_matrices(name):
        return learned_preconditioner(name, as_matrix(A))
    if found.operator is None:
        raise ValueError(
            f"{name} is for matrices that are a stencil on a grid; this one is not: "
            f"{found.reason}. Use --method {', '.join(CLASSICAL)}."
        )
    return learned_preconditioner(name, found.operator)


def _may_be_run(name: str) -> bool:
    path = Path(expanded(name))
    return path.is_file() or (path / "checkpoints").is_dir()


def directions(name: str, found: Structure) -> Callable[[Any], Any]:
    """The search directions of a trained network for the operator of a structure, as an argument of
    `deep_conjugate_direction`. Ghost unknowns are eliminated before the network is applied and
    restored afterwards."""
    assert found.ghosts is not None
    network: Any = load_correction(name)
    net = network.on(found.inner)
    return (lambda r: found.extend(net(found.reduce(r)), r)) if found.ghosts.any() else net
