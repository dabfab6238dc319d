"""Preconditioners by name: classical ones, trained runs, and weights that pdeops ships."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...linop import LinearOperator
from ...nearest import did_you_mean
from ...solvers.operators.recognise import Structure
from ...solvers.preconditioners import CLASSICAL, FOR_STENCILS
from ..shipped import shipped_weights
from .learned import learned_preconditioner
from .loading import load_correction


def build(name: str, A: LinearOperator, found: Structure) -> LinearOperator | None:
    """The preconditioner of this name for A.

    Raises:
        NotForCGError: a network for conjugate directions; `directions` loads it.
        ValueError: there is no such preconditioner, or it does not apply to A.
    """
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


def directions(name: str, found: Structure) -> Callable[[Any], Any]:
    """The search directions that a trained network proposes for the operator of a structure, as
    `deep_conjugate_direction` takes them. Ghost unknowns are eliminated before the network and
    filled in after it."""
    assert found.ghosts is not None
    network: Any = load_correction(name)
    net = network.on(found.inner)
    return (lambda r: found.extend(net(found.reduce(r)), r)) if found.ghosts.any() else net
