"""Black-box multigrid (Dendy 1982) whose smoothers do not depend on the order of the nodes of a
tile, for GPUs: damped Jacobi and Chebyshev by points, and lines in colours.

The method is that of `blackbox/reference.py`. Its parts are the functions below: each has a twin in
plain torch (`reference.py`) and a Triton kernel (`gpu.py`) that reads each field once. `set_up`
computes the levels with them, on the device of the system, and its `TiledHierarchy` runs cycles.
"""

from collections.abc import Sequence
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from ..forms import Forms
from . import gpu, reference
from .level import TiledLevel, from_faces

__all__ = [
    "FORMS",
    "TiledLevel",
    "coarse_couplings",
    "from_faces",
    "line_pivots",
    "product",
    "residual",
    "restrict",
    "smooth",
    "smooth_lines",
    "weights",
]

FORMS = Forms(__package__, cuda="gpu")


def product(level: TiledLevel, u: Float[Tensor, "m *stored"]) -> Float[Tensor, "m *stored"]:
    """A u."""
    return _form(level).product(level, u)


def residual(
    level: TiledLevel, u: Float[Tensor, "m *stored"], b: Float[Tensor, "m *stored"]
) -> Float[Tensor, "m *stored"]:
    """b - A u."""
    return _form(level).residual(level, u, b)


def smooth(
    level: TiledLevel,
    u: Float[Tensor, "m *stored"] | None,
    b: Float[Tensor, "m *stored"],
    lengths: Sequence[float],
    U: Float[Tensor, "m *coarse"] | None = None,
) -> Float[Tensor, "m *stored"]:
    """u + P U, then v + ω D⁻¹ (b - A v) for each ω of `lengths`; u = 0 if it is None."""
    return _form(level).smooth(level, u, b, lengths, U)


def smooth_lines(
    level: TiledLevel,
    u: Float[Tensor, "m *stored"],
    b: Float[Tensor, "m *stored"],
    axis: int,
    start: Sequence[int],
) -> Float[Tensor, "m *stored"]:
    """u after every other line along an axis is solved, from these indices on the other axes; the
    level has the pivots of the axis."""
    return _form(level).smooth_lines(level, u, b, axis, start)


def line_pivots(level: TiledLevel, axis: int) -> Float[Tensor, "*stored"]:
    """The inverse pivots of the tridiagonal matrices of all lines along an axis."""
    return _form(level).line_pivots(level, axis)


def restrict(
    level: TiledLevel, u: Float[Tensor, "m *stored"] | None, b: Float[Tensor, "m *stored"]
) -> Float[Tensor, "m *coarse"]:
    """Pᵀ (b - A u); Pᵀ b without u."""
    return _form(level).restrict(level, u, b)


def weights(level: TiledLevel, lines: tuple[int, ...] = ()) -> Float[Tensor, "codes *coarse"]:
    """The weights of P from the next level to this one; `lines`: axes that a smoother solves."""
    return _form(level).weights(level, lines)


def coarse_couplings(level: TiledLevel) -> Float[Tensor, "k *coarse"]:
    """The couplings of Pᵀ A P to all neighbours; e does not count."""
    return _form(level).coarse_couplings(level)


def _form(level: TiledLevel) -> ModuleType:
    name = _name_of_form(level.c.device.type, level.c.dtype, len(level.n))
    return gpu if name == "gpu" else reference


def _name_of_form(device: str, dtype: torch.dtype, num_axes: int) -> str:
    return FORMS.choice(device, gpu.unfit(dtype, num_axes)).form


# The mark of `torch.compiler.assume_constant_result`, which imports torch._dynamo.
_name_of_form._dynamo_marked_constant = True  # type: ignore[attr-defined]
