"""Equations by name, from the parameters that a data file states."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from ..domain import Domain
from ..nearest import did_you_mean
from ..solvers.evolution.equations.allen_cahn import AllenCahn
from ..solvers.evolution.equations.burgers import Burgers
from ..solvers.evolution.equations.heat import Heat
from ..solvers.evolution.equations.navier_stokes import NavierStokes
from ..solvers.evolution.evolution import Evolution

# For each equation its class, the parameters that it needs, and those that it may have.
EQUATIONS: dict[str, tuple[Callable[..., Evolution], tuple[str, ...], tuple[str, ...]]] = {
    "allen_cahn": (AllenCahn, ("diffusivity",), ("reaction", "series")),
    "burgers": (Burgers, ("viscosity",), ()),
    "heat": (Heat, ("diffusivity",), ("series",)),
    "navier_stokes": (NavierStokes, ("viscosity",), ("drag", "forcing")),
}


def equation_named(name: str, grid: Domain, parameters: Mapping[str, Any]) -> Evolution:
    """The solver's equation of this name (a key of `EQUATIONS`) with the parameters that it has
    among these; others are ignored.

    Raises:
        ValueError: the name is unknown, a parameter is missing or not one number for all samples,
            or the grid is not that of the equation, for example not periodic.
    """
    if name not in EQUATIONS:
        raise ValueError(
            f"Unknown equation {name!r}.{did_you_mean(name, EQUATIONS)} Choices: "
            f"{', '.join(EQUATIONS)}."
        )
    kind, needed, optional = EQUATIONS[name]
    values = {}
    for key in (*needed, *optional):
        if key in parameters:
            values[key] = parameters[key]
        elif key in needed:
            stated = ", ".join(parameters) or "no parameter"
            raise ValueError(
                f"The residual of {name} needs the {key}; the data state {stated}. Give it: "
                f"parameters={{{key!r}: ...}}."
            )
        if key in values and key not in ("forcing", "series") and not isinstance(values[key], Real):
            raise ValueError(
                f"{key} must be one number for all samples; got {type(values[key]).__name__}. Make "
                f"one estimator per value."
            )
    return kind(grid, **values)
