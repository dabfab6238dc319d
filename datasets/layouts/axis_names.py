"""Names of axes in files, and the axes of a batch that they stand for."""

from collections.abc import Sequence

from .chosen import LEADING

# Other names of these axes in files.
_ALIASES = {
    **dict.fromkeys(("samples", "batch", "n", "ensemble", "member", "realization"), "sample"),
    **dict.fromkeys(("times", "t", "valid_time"), "time"),
    **dict.fromkeys(("channels", "component", "components", "c"), "channel"),
    **{f"n{letter}": letter for letter in "xyz"},
    **dict.fromkeys(("lat", "nlat"), "latitude"),
    **dict.fromkeys(("lon", "nlon"), "longitude"),
    **dict.fromkeys(("lev", "plev", "height", "depth", "altitude"), "level"),
}
# Axes of the earth, in the order in which they become x, y, z, whatever their order in the file:
# latitude first, as on `Sphere`.
GEOGRAPHIC = ("latitude", "longitude", "level")


def standard(dim: str) -> str:
    """The standard name of an axis that the file calls `dim`."""
    name = dim.lower()
    return "channel" if name.endswith("_channel") else _ALIASES.get(name, name)


def axes_of(
    dims: Sequence[str], known: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, str]] | None:
    """The axes of an array whose axes are called `dims` in the file, and those assigned by their
    order, which is a guess; None if the names do not determine the axes.

    Known names are used directly: sample, time, channel, x, y, z and their aliases; latitude,
    longitude and level are the first free axes of space in this order. Unknown names are assigned
    in their order to the remaining axes of sample, x, y, z.
    """
    space = known[len(LEADING) :]
    names = {d: standard(d) for d in dims}
    named = {d: a for d, a in names.items() if a in known}
    free = [a for a in space if a not in named.values()]
    earth = sorted((d for d in dims if names[d] in GEOGRAPHIC and d not in named), key=_rank)
    named |= dict(zip(earth, free, strict=False))
    left = [d for d in dims if d not in named]
    free = [a for a in ("sample", *space) if a not in named.values()]
    if len(set(named.values())) < len(dims) - len(left) or len(left) > len(free):
        return None
    guess = dict(zip(left, free, strict=False))
    return tuple({**named, **guess}[d] for d in dims), guess


def _rank(dim: str) -> int:
    return GEOGRAPHIC.index(standard(dim))
