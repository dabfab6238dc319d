"""PDEBench's files with one group for each seed, "0000", "0001", ...: data (time, *space, channel),
grid/x, grid/y, grid/t, and the settings of the run as YAML in the attribute config.

They are those of 2D reaction-diffusion (two channels), of the shallow water equations (a radial dam
break, one channel) and of 1D diffusion-sorption. A batch reads the groups of its samples only.
"""

import re

import numpy as np

from ..containers.store import Store
from ..containers.virtual import Stacked, VirtualStore
from .chosen import SPACE, Chosen
from .content import Content, settings, text
from .coordinate_arrays import whole

_SEED = re.compile(r"\d{4,}")
# Settings of a run that are parameters of its equation or initial state; others discretise it.
_PARAMETERS = ("Du", "Dv", "k", "D", "por", "rho_s", "k_f", "n_f", "gravity", "dam_radius",
               "inner_height")  # fmt: skip

# The setting that only files of this equation have -> equation.
_EQUATIONS = {
    "Du": "u_t = Du laplace u + u - u^3 - k - v, v_t = Dv laplace v + u - v, no flux at the ends",
    "gravity": "shallow water equations, height of a radial dam break, outflow",
}
_QUESTION = (
    "dirichlet or neumann; diffusion-sorption has u = 1 on the left and a mixed condition on the "
    "right, which is neither"
)


def recognises(store: Store) -> bool:
    """Whether all objects of the file are groups with numbers as names, the first with data."""
    names = store.members()
    return (
        bool(names)
        and all(_SEED.fullmatch(name) for name in names)
        and {"data", "grid"} <= set(store.members(sorted(names)[0]))
    )


def content(store: Store) -> Content:
    """The trajectories of all groups as samples, in the order of their numbers.

    Raises:
        ValueError: a group has no data, or data or times unlike those of the first.
    """
    seeds = sorted(store.members())
    names = [f"{seed}/data" for seed in seeds]
    for name in names:
        _same_shape(store, name, names[0])
    _check_times(store, seeds)
    virtual = VirtualStore(store, {"data": Stacked(tuple(names))})
    shape = virtual.arrays["data"].shape
    num_space = len(shape) - 3
    axes = ("sample", "time", *SPACE[:num_space], "channel")
    components = {1: (), 2: ("u", "v")}.get(shape[-1], tuple(map(str, range(shape[-1]))))
    parameters = _parameters(store, seeds)
    return Content(
        virtual,
        (Chosen("data", "state", axes, shape, components),),
        grid={"placement": "centers", **({"boundary": "neumann"} if num_space == 2 else {})},
        questions={} if num_space == 2 else {"boundary": _QUESTION},
        parameters=parameters,
        equation=next((e for name, e in _EQUATIONS.items() if name in parameters), ""),
        notes=(
            f"read as PDEBench's files of {len(seeds)} groups, one for each sample; cell centres",
        ),
    )


def _same_shape(store: Store, name: str, first: str) -> None:
    if name not in store.arrays:
        store.locate(name)
    if name not in store.arrays:
        reason = store.refused.get(name, "nothing: the group has no data")
        raise ValueError(
            f"{name!r} in {store.title} holds {reason}. Generate or download the file again."
        )
    shape, expected = store.arrays[name].shape, store.arrays[first].shape
    if shape != expected or len(shape) not in (3, 4):
        raise ValueError(
            f"All groups of {store.title} must have data (time, *space, channel) of one shape; "
            f"{first} has {expected} and {name} has {shape}. Generate or download the file again."
        )


def _check_times(store: Store, seeds: list[str]) -> None:
    """Raise a ValueError unless all groups have the same times."""
    known: np.ndarray | None = None
    for seed in seeds:
        name = f"{seed}/grid/t"
        if name not in store.arrays:
            store.locate(name)
        if name not in store.arrays:
            return
        times = whole(store, store.arrays[name]).ravel()
        if known is not None and not np.array_equal(known, times):
            raise ValueError(
                f"All groups of {store.title} must have the same times; those of {name} are not "
                f"those of {seeds[0]}/grid/t. Split the file, or interpolate to common times."
            )
        known = times


def _parameters(store: Store, seeds: list[str]) -> dict[str, float | np.ndarray]:
    """The parameters that the settings of all groups state; one number for each sample where they
    differ."""
    rows = []
    for seed in seeds:
        config = store.attributes_of(seed).get("config")
        if config is None:
            return {}
        rows.append(settings(text(config)))
    found: dict[str, float | np.ndarray] = {}
    for name in _PARAMETERS:
        if all(name in row for row in rows):
            values = np.array([row[name] for row in rows])
            found[name] = float(values[0]) if (values == values[0]).all() else values
    return found
