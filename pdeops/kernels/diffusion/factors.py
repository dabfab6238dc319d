"""The factors of the couplings through the faces of one axis."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of the couplings through the faces of one axis, a product of one per axis.

    Attributes:
        axis: the axis of the faces.
        shape: n + 1 faces along the axis, the unknowns along the others.
        along: per axis, its factor; None for one.
    """

    axis: int
    shape: tuple[int, ...]
    along: Sequence[Float[Tensor, " _"] | None]
    arrays: dict[torch.dtype, Any] = field(default_factory=dict, repr=False)
