"""PDEBench's flat files: one dataset for each field, (sample, time, *space), with x-coordinate,
t-coordinate, ... (Takamoto et al. 2022).

| family | fields | attributes |
|---|---|---|
| 1D advection, Burgers, reaction-diffusion | tensor | beta; Nu; Nu and rho |
| 1D, 2D, 3D compressible flow | density, pressure, Vx, Vy, Vz | eta, zeta, M |
| 2D Darcy flow | nu, and tensor (sample, 1, x, y) | beta |

Nodes are the centres of cells. t-coordinate has one time more than there are frames: the last is
left out. The true viscosity of the Burgers files is Nu/π. Files of compressible flow do not state
their boundary; their names do (periodic, or trans: outflow).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..containers.store import Store
from .chosen import SPACE, Chosen
from .content import Content, numbers
from .coordinate_arrays import is_coordinate

_FLUID = ("density", "pressure", "Vx", "Vy", "Vz")
_PERIODIC = {"boundary": "periodic", "placement": "centers"}
_BOUNDARY = "periodic, or neumann for outflow (trans in the name of the file)"


@dataclass(frozen=True)
class Family:
    """Files of one equation, known by the attributes that state its parameters.

    Attributes:
        known_by: names of attributes that they have.
        equation: the equation.
        derived: name of a parameter -> the attribute, and its factor.
    """

    known_by: frozenset[str]
    equation: str
    derived: Mapping[str, tuple[str, float]] = field(default_factory=dict)


# The first that fits.
_FAMILIES = (
    Family(frozenset({"Nu", "rho"}), "u_t = Nu u_xx + rho u (1 - u), periodic"),
    Family(
        frozenset({"Nu"}),
        "u_t + u u_x = viscosity u_xx, viscosity = Nu / pi, periodic",
        {"viscosity": ("Nu", 1 / math.pi)},
    ),
    Family(frozenset({"beta"}), "u_t + beta u_x = 0, periodic"),
)


def recognises(store: Store) -> bool:
    """Whether the fields have the names and axes of a family."""
    return _kind(store) is not None


def content(store: Store) -> Content:
    """The fields and the parameters of the equation."""
    kind = _kind(store)
    assert kind is not None
    return {"darcy": _darcy, "line": _line, "fluid": _fluid}[kind](store)


def _kind(store: Store) -> str | None:
    ndim = {
        name: len(store.arrays[name].shape)
        for name in ("nu", "tensor", *_FLUID)
        if name in store.arrays and store.arrays[name].dims is None
    }
    if ndim.get("nu", 0) == 3 and ndim.get("tensor", 0) in (3, 4):
        return "darcy"
    if ndim.get("tensor") == 3 and "x-coordinate" in store.arrays and "nu" not in ndim:
        return "line"
    if {"density", "pressure", "Vx"} <= set(ndim) and ndim["density"] in (3, 4, 5):
        return "fluid"
    return None


def _line(store: Store) -> Content:
    """Trajectories of one field in 1D; the attributes identify the equation."""
    stated = numbers(store.attributes_of("/"))
    family = next((f for f in _FAMILIES if f.known_by <= set(stated)), None)
    chosen = Chosen("tensor", "state", ("sample", "time", "x"), store.arrays["tensor"].shape)
    if family is None:
        return Content(
            store,
            (chosen,),
            grid={"placement": "centers"},
            questions={"boundary": "periodic in all published files of this kind"},
            parameters=stated,
        )
    derived = {name: factor * stated[key] for name, (key, factor) in family.derived.items()}
    notes = [f"read as PDEBench's files of {family.equation}; cell centres"]
    notes += [
        f"{name} = {value:.6g}, from {family.derived[name][0]}" for name, value in derived.items()
    ]
    return Content(
        store,
        (chosen,),
        grid=_PERIODIC,
        parameters={**derived, **stated},
        equation=family.equation,
        notes=tuple(notes),
    )


def _fluid(store: Store) -> Content:
    """Trajectories of density, pressure and velocity."""
    names = [name for name in _FLUID if name in store.arrays]
    axes = ("sample", "time", *SPACE[: len(store.arrays["density"].shape) - 2])
    return Content(
        store,
        tuple(Chosen(name, "state", axes, store.arrays[name].shape) for name in names),
        grid={"placement": "centers"},
        questions={"boundary": _BOUNDARY},
        parameters=numbers(store.attributes_of("/")),
        equation="compressible Navier-Stokes, shear viscosity eta, bulk viscosity zeta",
        notes=("read as PDEBench's compressible flow; cell centres",),
    )


def _darcy(store: Store) -> Content:
    """Pairs nu -> tensor on the unit square."""
    shape = store.arrays["tensor"].shape
    axes = ("sample", *(("channel",) if len(shape) == 4 else ()), "x", "y")
    measured = any(is_coordinate(store, array) for array in store.arrays.values())
    return Content(
        store,
        (
            Chosen("nu", "input", ("sample", "x", "y"), store.arrays["nu"].shape),
            Chosen("tensor", "target", axes, shape),
        ),
        grid={
            "boundary": "dirichlet",
            "placement": "centers",
            **({} if measured else {"extent": 1.0}),
        },
        parameters=numbers(store.attributes_of("/")),
        equation="-div(nu grad u) = beta, u = tensor = 0 on the boundary",
        notes=(
            "nu and tensor: read as PDEBench's Darcy files, cell centres of the unit square"
            + ("; coordinates as in the file" if measured else ""),
        ),
    )
