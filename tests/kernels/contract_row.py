"""One row of the contract of operations (`test_contract.py`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

COMPLEX = "complex"  # marks the shape of a complex field


@dataclass(frozen=True)
class Row:
    """An operation, its twin, and fields to compare them on.

    Attributes:
        operation, twin: functions of the fields that return one tensor or several; those that work
            in place do so on clones.
        fields: for a size, the shapes of the fields; (COMPLEX, shape) for a complex one.
        sizes: of the grid, odd ones among them.
        exempt: test -> why it does not apply.
        graph: from the fields, the function of them that torch.compile and torch.export record;
            what users bind before, it has bound. By default the operation.
    """

    operation: Callable
    twin: Callable
    fields: Callable[[tuple[int, ...]], list]
    sizes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32)
    exempt: Mapping[str, str] = field(default_factory=dict)
    graph: Callable | None = None


IN_PLACE = {"test_backward": "it works in place; solvers record no gradient"}
NO_GRAPH = {"test_graph": "it works on arrays of numpy, or returns numbers to Python"}
SIZES = ((16, 18), (17, 15), (9, 8, 7))
