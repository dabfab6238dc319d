"""The arrays of a file that a data set reads."""

from ..containers.store import Store
from .chosen import Selection
from .coordinates import coordinates_along
from .times import times_along


def used_arrays(store: Store, selection: Selection) -> set[str]:
    """Names in the file of the arrays of the fields, of their coordinates, times and parameters.

    All arrays with the names and shapes of coordinates or times count, such as those of each group,
    although one of them is read.
    """
    names = set(selection.read)
    for c in selection.chosen:
        names.add(c.name)
        for axis in range(len(c.space)):
            names |= {array.name for array in coordinates_along(store, selection, c, axis)}
        if c.num_frames is not None:
            names |= {array.name for array in times_along(store, c, selection.chosen)}
    return {source for name in names for source in store.sources(name)}
