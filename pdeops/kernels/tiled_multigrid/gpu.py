"""The parts of a cycle and of its set-up by Triton kernels. Twin: `reference.py`.

- `smooth`: a program loads a tile of u and b with a halo, corrects it by P U, makes several steps
  u += ω D⁻¹ (b - A u), of which each makes one more layer of the halo invalid, and writes the
  interior. Neighbours are read from the tile, not from memory.
- `restrict`: a program computes the residual of the cells of a tile of coarse nodes, once each, and
  writes its weighted sums; the residual is never stored.
- `smooth_lines`: the residual, then tridiagonal systems by parallel prefix; their pivots belong to
  the set-up.
- `weights`, `coarse_couplings`: the set-up; the second runs through a table of products.

**Bytes** of a field of N nodes with s bytes per number: a smoother of any number of steps reads u,
b and the couplings once and writes u, (3 + K + 1) s N with K couplings (2 and 3 on the finest level
in 2D and 3D, 4 and 13 on coarse ones; none for a constant coefficient, whose strides are 0). From
zero it does not read u. The halo adds its share of a tile. A batch reads the couplings of a tile
from the cache, because programs of one tile follow each other.

Number types: float32 and float64. The operations are registered with torch (`torch.ops.pdeops`), so
that torch.compile keeps each as one node.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..blackbox.level_reference import shift
from ..runtime.registration import Implementation, at_call, register
from .level import TiledLevel, coarse_shape, digit_codes, offsets

DTYPES = (torch.float32, torch.float64)


def unfit(dtype: torch.dtype, num_axes: int) -> str | None:
    """Why the kernels cannot take such fields; None: they can."""
    if dtype not in DTYPES:
        return f"{dtype} has no Triton kernel (float32 and float64 have)"
    if num_axes > 3:
        return f"{num_axes} axes of space have no Triton kernel (1 to 3 have)"
    return None


def product(level: TiledLevel, u: Tensor) -> Tensor:
    """Same as `reference.product`."""
    return torch.ops.pdeops.tiled_residual(level.c, level.e, u, None, level.n)


def residual(level: TiledLevel, u: Tensor, b: Tensor) -> Tensor:
    """Same as `reference.residual`."""
    return torch.ops.pdeops.tiled_residual(level.c, level.e, u, b, level.n)


def smooth(
    level: TiledLevel,
    u: Tensor | None,
    b: Tensor,
    lengths: Sequence[float],
    U: Tensor | None,
) -> Tensor:
    """Same as `reference.smooth`."""
    return torch.ops.pdeops.tiled_smooth(
        level.c, level.e, u, b, lengths, U, level.w, level.n, level.coarsen
    )


def restrict(level: TiledLevel, u: Tensor | None, b: Tensor) -> Tensor:
    """Same as `reference.restrict`."""
    assert level.w is not None
    return torch.ops.pdeops.tiled_restrict(level.c, level.e, u, b, level.w, level.n, level.coarsen)


def weights(level: TiledLevel, lines: tuple[int, ...]) -> Tensor:
    """Same as `reference.weights`."""
    sides: list[Tensor] = []  # per axis that is coarsened, the weights to both sides, or none
    for odd, coarsened in enumerate(level.coarsen):
        axis = min((a for a in lines if a != odd), default=None)
        if coarsened and axis is not None:
            sides += [across_lines(level, axis, odd, side) for side in (-1, 1)]
        elif coarsened and lines:
            sides += [level.c[0, :0]] * 2
    return torch.ops.pdeops.tiled_weights(level.c, level.n, level.coarsen, sides)


def across_lines(level: TiledLevel, axis: int, odd: int, side: int) -> Tensor:
    """T⁻¹ C 1, with T the matrix of the line of a node along an axis and C its couplings to the
    neighbours at one side of the axis `odd` (`blackbox/transfer_reference.py`)."""
    C = torch.zeros_like(level.diagonal)
    for offset, c in zip(offsets(len(level.n), len(level.c)), level.c, strict=True):
        if offset[odd] == side:
            C += c
        elif offset[odd] == -side:
            C += shift(c, tuple(-o for o in offset))
    f = torch.zeros_like(C)
    f[level.inside] = C[level.inside]
    one = (1,) * len(level.n)
    return torch.ops.pdeops.tiled_lines(
        level.along(axis), level.pivots[axis], f[None], torch.zeros_like(f[None]), level.n, axis,
        one, 1,
    )[0]  # fmt: skip


def line_pivots(level: TiledLevel, axis: int) -> Tensor:
    """Same as `reference.line_pivots`."""
    return torch.ops.pdeops.tiled_pivots(level.along(axis), level.diagonal, level.n, axis)


def smooth_lines(
    level: TiledLevel, u: Tensor, b: Tensor, axis: int, start: Sequence[int]
) -> Tensor:
    """Same as `reference.smooth_lines`."""
    r = residual(level, u, b)
    return torch.ops.pdeops.tiled_lines(
        level.along(axis), level.pivots[axis], r, u, level.n, axis, start, 2
    )


def coarse_couplings(level: TiledLevel) -> Tensor:
    """Same as `reference.coarse_couplings`."""
    assert level.w is not None
    return torch.ops.pdeops.tiled_coarse_couplings(level.c, level.w, level.n, level.coarsen)


# --------------------------------------------------------------------- registration with torch


def _field(c: Tensor, e: Tensor | None, u: Tensor | None, b: Tensor, *_: object) -> Tensor:
    return b.new_empty(b.shape)


def _product(c: Tensor, e: Tensor | None, u: Tensor, *_: object) -> Tensor:
    return u.new_empty(u.shape)


def _coarse_field(
    c: Tensor,
    e: Tensor | None,
    u: Tensor | None,
    b: Tensor,
    w: Tensor,
    n: list[int],
    coarsen: list[bool],
) -> Tensor:
    return b.new_empty(len(b), *coarse_shape(n, coarsen))


def _weights(c: Tensor, n: list[int], coarsen: list[bool], *_: object) -> Tensor:
    return c.new_empty(len(digit_codes(coarsen)), *coarse_shape(n, coarsen))


def _coarse_couplings(c: Tensor, w: Tensor, n: list[int], coarsen: list[bool]) -> Tensor:
    return c.new_empty(3 ** len(n) // 2, *coarse_shape(n, coarsen))


def _pivots(c: Tensor, d: Tensor, *_: object) -> Tensor:
    return d.new_empty(d.shape)


_LEVEL, _COARSE = "Tensor c, Tensor? e", "int[] n, bool[] coarsen"
_OPERATIONS: dict[
    str, tuple[str, Implementation]
] = {  # what launches the kernels -> schema, shape of the result
    "triton_launch.residual": (
        f"tiled_residual({_LEVEL}, Tensor u, Tensor? b, int[] n) -> Tensor",
        _product,
    ),
    "triton_launch.smooth": (
        f"tiled_smooth({_LEVEL}, Tensor? u, Tensor b, float[] lengths, Tensor? U, Tensor? w,"
        f" {_COARSE}) -> Tensor",
        _field,
    ),
    "triton_launch.restrict": (
        f"tiled_restrict({_LEVEL}, Tensor? u, Tensor b, Tensor w, {_COARSE}) -> Tensor",
        _coarse_field,
    ),
    "setup_launch.weights": (
        f"tiled_weights(Tensor c, {_COARSE}, Tensor[] sides) -> Tensor",
        _weights,
    ),
    "setup_launch.coarse_couplings": (
        f"tiled_coarse_couplings(Tensor c, Tensor w, {_COARSE}) -> Tensor",
        _coarse_couplings,
    ),
    "lines_launch.pivots": (
        "tiled_pivots(Tensor c, Tensor d, int[] n, int axis) -> Tensor",
        _pivots,
    ),
    "lines_launch.solve_lines": (
        "tiled_lines(Tensor c, Tensor p, Tensor f, Tensor u, int[] n, int axis, int[] start,"
        " int step) -> Tensor",
        _field,
    ),
}
_LIBRARY = register(  # the registration ends with this object
    {
        schema: (at_call(__package__, launch), shape)
        for launch, (schema, shape) in _OPERATIONS.items()
    }
)
