"""Points in arrays of a foreign file: one array for all samples, or arrays of each sample."""
# Axes: names in a tuple: sample, point, coordinate, channel; cell, corner; single, of length
# one and left out.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...domain import Points
from ...domain.cells import node_weights
from ..containers.store import AmbiguousError, Store
from ..point_checks import check_corners, check_mask
from ..point_source import PointSource
from ..spec import Field

# Axes of the variables of a `PointSource`, in order.
_ORDER = ("point", "cell", "coordinate", "channel", "corner")


@dataclass(frozen=True)
class Stored:
    """An array of a file, and the names of its axes; without "sample" all samples share it."""

    name: str
    axes: tuple[str, ...]

    def rows(self, store: Store, i: int) -> np.ndarray:
        """The values of sample i, points or cells first, in native byte order."""
        if "sample" in self.axes:
            axis = self.axes.index("sample")
            u = store.take(self.name, axis, np.array([i])).squeeze(axis)
        else:
            u = store.read(self.name, (slice(None),) * len(self.axes))
        rest = [a for a in self.axes if a != "sample"]
        if "single" in rest:
            u = u.squeeze(rest.index("single"))
            rest.remove("single")
        order = sorted(range(len(rest)), key=lambda k: _ORDER.index(rest[k]))
        return np.ascontiguousarray(u.transpose(order), u.dtype.newbyteorder("="))

    def length(self, store: Store, axis: str) -> int:
        """The length of an axis."""
        return store.arrays[self.name].shape[self.axes.index(axis)]


class ArrayPoints(PointSource):
    """Fields of samples that each array holds along its axis of samples.

    A mask is true at the points of a sample and false at its padding; cells then name the points
    with padding, and are renumbered. Without weights, those of the cells are used
    (`cells.node_weights`).

    Args:
        variables: name of a field, "positions", "weights", "cells" or "mask" -> its array.
        read: names of other arrays that were read, such as those of parameters.
    """

    def __init__(
        self,
        store: Store,
        variables: Mapping[str, Stored],
        fields: Sequence[Field],
        *,
        box: Any = None,
        parameters: Mapping[str, Any] | None = None,
        read: Sequence[str] = (),
    ) -> None:
        self.store, self.variables, self._read = store, dict(variables), read
        places = self.variables["positions"]
        n, d = (places.length(store, axis) for axis in ("point", "coordinate"))
        sampled = [v for v in self.variables.values() if "sample" in v.axes]
        counts = {v.length(store, "sample") for v in sampled}
        if len(counts) != 1:
            each = ", ".join(str(store.arrays[v.name]) for v in sampled)
            raise ValueError(f"All arrays hold the same samples; got {each or 'none'}.")
        (num_samples,) = counts
        if n == 0 or num_samples == 0:
            raise ValueError(
                f"The positions ({store.arrays[places.name]}) hold no points: {num_samples} "
                f"samples of {n}. Check how the file was written."
            )
        for name, v in self.variables.items():
            if "point" in v.axes and v.length(store, "point") != n:
                raise ValueError(
                    f"{name} ({store.arrays[v.name]}) does not fit the positions "
                    f"({store.arrays[places.name]}): its axis of points has "
                    f"{v.length(store, 'point')} entries, and there are {n} points."
                )
        points = np.full(num_samples, n)
        if "mask" in self.variables:
            points = np.array([self._mask(i).sum() for i in range(num_samples)])
        cells = self.variables.get("cells")
        super().__init__(
            fields,
            Points(d, box=box),
            points,
            num_cells=None if cells is None else np.full(num_samples, cells.length(store, "cell")),
            corners=0 if cells is None else cells.length(store, "corner"),
            weights=cells is not None or "weights" in self.variables,
            parameters=parameters,
        )

    def used(self) -> set[str]:
        """Names of the arrays of fields, positions, mask, weights and cells."""
        return {v.name for v in self.variables.values()} | set(self._read)

    def _mask(self, i: int) -> np.ndarray:
        rows = self.variables["mask"].rows(self.store, i)
        mask = rows.astype(bool)
        if (rows != mask).any():
            value = rows[rows != mask].flat[0]
            raise ValueError(
                f"The mask of sample {i} is true (1) at points and false (0) at padding; got "
                f"{value:g}. Compare it with a threshold first."
            )
        check_mask(torch.from_numpy(mask), mask.shape[0], f"sample {i}")
        return mask

    def variable(self, name: str, i: int) -> np.ndarray:
        """The rows of the real points of sample i.

        Raises:
            ValueError: cells are not whole numbers, or name points where the mask is false.
        """
        if name == "weights" and name not in self.variables:
            return _weights_of_cells(self, i)
        rows = self.variables[name].rows(self.store, i)
        if name == "cells":
            rows = _whole(rows, i)
        if "mask" not in self.variables:
            return rows
        mask = self._mask(i)
        if name != "cells":
            return rows[mask]
        inside = (rows >= 0) & (rows < len(mask))
        padding = inside & ~mask[np.where(inside, rows, 0)]
        if padding.any():
            row = int(np.flatnonzero(padding.any(1))[0])
            raise ValueError(
                f"Cell {row} of sample {i} has the points {rows[row].tolist()}, and the mask is "
                f"false at some of them. The mask and the cells do not fit."
            )
        return np.where(inside, np.cumsum(mask)[np.where(inside, rows, 0)] - 1, rows)


class GroupedPoints(PointSource):
    """Fields of samples with arrays of their own.

    Args:
        groups: for each sample, name of a variable -> its array (without an axis of samples).
    """

    def __init__(
        self,
        store: Store,
        groups: Sequence[Mapping[str, Stored]],
        fields: Sequence[Field],
    ) -> None:
        self.store, self.groups = store, list(groups)
        first = self.groups[0]
        counts = [g["positions"].length(store, "point") for g in groups]
        for i, (group, n) in enumerate(zip(groups, counts, strict=True)):
            if missing := first.keys() - group.keys():
                raise ValueError(
                    f"Sample {i} of {store.title} has no {', '.join(sorted(missing))}, but sample "
                    f"0 has. Remove it, or put samples of one kind into a file."
                )
            for v in group.values():
                if "point" in v.axes and v.length(store, "point") != n:
                    raise ValueError(
                        f"{store.arrays[v.name]} of sample {i} does not fit its {n} points."
                    )
        meshed = "cells" in first
        cells = np.array([g["cells"].length(store, "cell") for g in groups]) if meshed else None
        super().__init__(
            fields,
            Points(first["positions"].length(store, "coordinate")),
            np.array(counts),
            num_cells=cells,
            corners=first["cells"].length(store, "corner") if meshed else 0,
            weights=meshed,
        )
        self.domain = Points(self.domain.num_coordinates, box=self.box())

    def used(self) -> set[str]:
        """Names of the arrays of fields, positions and cells of all samples."""
        return {v.name for group in self.groups for v in group.values()}

    def variable(self, name: str, i: int) -> np.ndarray:
        """The rows of sample i."""
        if name == "weights":
            return _weights_of_cells(self, i)
        rows = self.groups[i][name].rows(self.store, i)
        return _whole(rows, i) if name == "cells" else rows


def _whole(cells: np.ndarray, i: int) -> np.ndarray:
    """The same cells as integers; MATLAB stores numbers of points as floats."""
    bad = (cells != np.round(cells)).any(-1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"Cells name points by whole numbers; cell {row} of sample {i} is "
            f"{cells[row].tolist()}. Name the array that holds the connectivity."
        )
    return cells.astype(np.int64)


def _weights_of_cells(source: PointSource, i: int) -> np.ndarray:
    """Quadrature weights of the nodes of sample i.

    Raises:
        ValueError: the cells name points that do not exist.
    """
    x, cells = (torch.from_numpy(source.variable(n, i)) for n in ("positions", "cells"))
    check_corners(cells, len(x), f"sample {i}")
    return node_weights(x.double().mT, cells).numpy()


def axes_of_points(store: Store, name: str, n: int | None, given: str | None) -> tuple[str, ...]:
    """The axes of an array on points: those that the caller names, those of an unambiguous shape.

    Args:
        n: number of points; None for positions.
        given: names separated by commas.

    Raises:
        AmbiguousError: the shape does not show which axis counts points.
    """
    array = store.arrays[name]
    if n is None and 0 in array.shape:
        raise ValueError(f"The positions ({array}) are empty. Check how the file was written.")
    inner = "coordinate" if n is None else "channel"
    if given is not None:
        axes = tuple(given.split(","))
        needed = {"point", inner} if n is None else {"point"}
        allowed = {"sample", "point", inner}
        if sorted(axes) != sorted(set(axes)) or not needed <= set(axes) <= allowed:
            axes = ()
        if len(axes) != len(array.shape):
            raise ValueError(
                f"{array} needs one name for each axis, of sample, point and {inner}, with "
                f"{' and '.join(sorted(needed, reverse=True))}; got {given!r}."
            )
        return axes
    if len(array.shape) == 2 and n is not None and array.shape[1] == n:
        return ("sample", "point")
    if len(array.shape) == 3:
        _, i, j = array.shape
        is_inner = [k <= 3 for k in (i, j)] if n is None else [j == n, i == n]
        if is_inner == [True, False]:
            return ("sample", inner, "point")
        if is_inner == [False, True]:
            return ("sample", "point", inner)
    flat = "point,coordinate" if n is None else "sample,point"  # the axes if there are two
    axes_text = flat if len(array.shape) == 2 else f"sample,point,{inner}"
    raise AmbiguousError(
        f"The shape of {array} does not show which axis counts {n or 'the'} points. Name its axes: "
        f"--axes {name}={axes_text}, or axes={{{name!r}: {axes_text!r}}} in Python."
    )
