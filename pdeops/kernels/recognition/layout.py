"""Codes of the loops, and where the couplings of a grid lie in one flat array.

There are always three axes, of which the leading ones may be missing: they have one node. A slot is
one kind of coupling, between a node and the node at an offset. Slots are rows of integers,

    distance, offset per axis, first element, stride per axis:

the coupling of the node (x0, x1, x2) is the element first + x0 s0 + x1 s1 + x2 s2 of the array.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..stencil.reference import stencil_offsets

FINE, UNORDERED, OUT_OF_RANGE, NOT_FINITE, ASYMMETRIC, WEAK, AMBIGUOUS = range(7)


def three(shape: Sequence[int]) -> np.ndarray:
    """The shape with three axes."""
    return np.array([1] * (3 - len(shape)) + list(shape), dtype=np.int64)


def strides(shape: Sequence[int]) -> list[int]:
    """Distances of neighbours in a flat array in C order."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def half_slots(shape: Sequence[int]) -> np.ndarray:
    """Slots of the couplings to `stencil_offsets`: one field for each, at the node itself."""
    size, absent = math.prod(shape), [0] * (3 - len(shape))
    steps = strides(shape)
    found = []
    for k, offset in enumerate(stencil_offsets(len(shape))):
        distance = sum(o * s for o, s in zip(offset, steps, strict=True))
        found.append([distance, *absent, *offset, k * size, *absent, *steps])
    return ascending(found)


def ascending(slots: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    """Slots in the order in which a row has them."""
    rows = np.array(slots, dtype=np.int64).reshape(-1, 8)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def face_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Per axis the shape of the couplings at its faces (`diffusion/reference.py`)."""
    return [tuple(n + (a == axis) for a, n in enumerate(shape)) for axis in range(len(shape))]


def face_slots(shape: Sequence[int]) -> np.ndarray:
    """Per axis the slot of the face above a node; distance 0 marks a missing axis. The faces of all
    axes lie in one array, axis after axis."""
    absent, steps = [0] * (3 - len(shape)), strides(shape)
    found, first = np.zeros((3, 8), dtype=np.int64), 0
    for axis, wide in enumerate(face_shapes(shape)):
        offset = [int(a == axis) for a in range(len(shape))]
        inside = strides(wide)
        row = [steps[axis], *absent, *offset, first + inside[axis], *absent, *inside]
        found[len(absent) + axis] = row
        first += math.prod(wide)
    return found


def seam_slots(shape: Sequence[int]) -> np.ndarray:
    """Slots of the couplings between the two ends of an axis of more than two nodes: face 0."""
    found = []
    for axis, slot in enumerate(face_slots(shape)[3 - len(shape) :]):
        n = shape[axis]
        if n > 2:
            slot = slot.copy()
            at = 4 - len(shape) + axis  # of this axis among the columns of the offsets
            slot[0] *= n - 1
            slot[at] = n - 1
            slot[4] -= slot[at + 4]
            found.append(slot)
    return np.array(found, dtype=np.int64).reshape(-1, 8)


def split_faces(store: np.ndarray, shape: Sequence[int]) -> list[np.ndarray]:
    """Per axis the couplings at its faces, as views of the flat array."""
    found, first = [], 0
    for wide in face_shapes(shape):
        size = math.prod(wide)
        found.append(store[first : first + size].reshape(wide))
        first += size
    return found
