"""Coordinate arrays of a file: vectors and meshgrids with the positions of nodes along one axis."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..containers.store import Array, Store
from .chosen import SPACE

# Names of coordinates along the axes of space, in lower case.
_PATTERNS = ("{}", "{}-coordinate", "{}_coordinate", "{}coord", "{0}{0}")
_GEOGRAPHIC = (
    ("lat", "latitude", "lats"),
    ("lon", "longitude", "lons"),
    ("lev", "level", "depth", "height"),
)
COORDINATES = {
    letter: (*(p.format(letter) for p in _PATTERNS), *others)
    for letter, others in zip(SPACE, _GEOGRAPHIC, strict=True)
}
_NAMES = frozenset(name for names in COORDINATES.values() for name in names)
MAX_MESH = 2**24  # numbers of a meshgrid; a larger array is not read for its coordinates


def field_name(array: Array) -> str:
    """The name without groups, in lower case."""
    return array.name.rpartition("/")[2].lower()


def is_coordinate(store: Store, array: Array) -> bool:
    """Whether an array has the name and the form of a coordinate: a vector, 1 x n as MATLAB writes
    it, or a meshgrid, whose values change along one axis only."""
    if array.dims is not None and len(array.dims) == 1:
        return True
    if field_name(array) not in _NAMES or 0 in array.shape:
        return False
    return is_vector(array.shape) or varying_axis(store, array) is not None


def is_vector(shape: Sequence[int]) -> bool:
    """Whether at most one axis is longer than 1."""
    return sum(n > 1 for n in shape) <= 1


def varying_axis(store: Store, array: Array) -> int | None:
    """The axis along which all values of an array change, if they are constant along all others;
    else None."""
    if np.prod(array.shape, dtype=np.int64) > MAX_MESH:
        return None
    u = np.asarray(store.read(array.name, (slice(None),) * len(array.shape)))
    if sum(_changes(u.take([0, 1], i), i) for i in range(u.ndim) if u.shape[i] > 1) > 1:
        return None  # as the first two slices of a field show
    axes = [i for i in range(u.ndim) if _changes(u, i)]
    return axes[0] if len(axes) == 1 else None


def _changes(u: np.ndarray, axis: int) -> bool:
    """Whether the values change along an axis."""
    return bool((u != u.take([0], axis)).any())


def whole(store: Store, array: Array) -> np.ndarray:
    """All values in float64."""
    key = (slice(None),) * len(array.shape)
    return np.asarray(store.read(array.name, key), dtype=np.float64)


def candidates(store: Store, names: Iterable[str], fields: Iterable[str]) -> Iterator[Array]:
    """The arrays of these names, in this order, without the fields themselves."""
    others = [a for a in store.arrays.values() if a.name not in set(fields)]
    for name in names:
        yield from (a for a in others if a.name == name)
        yield from (a for a in others if a.name != name and field_name(a) == name.lower())
