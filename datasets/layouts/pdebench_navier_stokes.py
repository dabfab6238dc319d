"""PDEBench's incompressible flow: velocity (sample, time, x, y, 2), particles (sample, time, x, y,
1), a force (sample, x, y, 2) that is constant in time, and t (sample, time).

The attribute config holds the settings of the run as YAML: viscosity, box, and the values outside
the box, from which the boundary follows. A batch reads its samples and frames only.
"""

import re

from ..containers.store import Store
from .chosen import Chosen
from .content import Content, settings, text

_COMPONENTS = ("x", "y")
# phiflow's name of the values outside the box -> the boundary condition of the velocity.
_BOUNDARIES = {"ZERO": "dirichlet", "PERIODIC": "periodic", "BOUNDARY": "neumann"}
_QUESTIONS = {
    "extent": "1 in the published files",
    "boundary": "dirichlet in the published files (the velocity is zero outside)",
}


def recognises(store: Store) -> bool:
    """Whether there are a velocity and particles with the axes of trajectories in 2D."""
    arrays = store.arrays
    return all(
        name in arrays and len(arrays[name].shape) == 5 and arrays[name].shape[-1] == size
        for name, size in (("velocity", 2), ("particles", 1))
    )


def content(store: Store) -> Content:
    """Velocity and particles as states, the force as an input that is constant in time."""
    axes = ("sample", "time", "x", "y", "channel")
    fields = [
        Chosen("velocity", "state", axes, store.arrays["velocity"].shape, _COMPONENTS),
        Chosen("particles", "state", axes, store.arrays["particles"].shape),
    ]
    notes = ["read as PDEBench's incompressible flow; cell centres"]
    if "force" in store.arrays:
        shape = store.arrays["force"].shape
        if len(shape) == 4:
            fields.append(
                Chosen("force", "input", ("sample", "x", "y", "channel"), shape, _COMPONENTS)
            )
        else:
            notes.append(f"force {shape} is not constant in time, and not read")
    config = text(store.attributes_of("/").get("config", ""))
    grid = {"placement": "centers", **_stated(config)}
    stated = settings(config)
    return Content(
        store,
        tuple(fields),
        grid=grid,
        questions={name: q for name, q in _QUESTIONS.items() if name not in grid},
        parameters={"viscosity": stated["NU"]} if "NU" in stated else {},
        equation="v_t + v . grad v = -grad p + viscosity laplace v + particles force, div v = 0",
        notes=tuple(notes),
    )


def _stated(config: str) -> dict[str, object]:
    """Side lengths and boundary from the settings; what they do not state is absent."""
    stated: dict[str, object] = {}
    box = re.search(r"^domain_size:\s*(\[[^\]]*\]|(?:\s*-\s*\S+)+)", config, re.MULTILINE)
    if box:
        stated["extent"] = [float(n) for n in re.findall(r"[\d.]+(?:e-?\d+)?", box[1])]
    outside = re.search(r"^velocity_extrapolation:\s*['\"]?(\w+)", config, re.MULTILINE)
    if outside and outside[1] in _BOUNDARIES:
        stated["boundary"] = _BOUNDARIES[outside[1]]
    return stated
