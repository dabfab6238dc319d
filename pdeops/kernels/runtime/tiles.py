"""Sizes of the tiles of Triton kernels, and the options of a launch."""

from typing import Any, Protocol

SMALLEST = 16  # operand of tl.dot
FUSION = {"enable_fp_fusion": True}  # the default of Triton, which 3.9 warns will change


class Tile(Protocol):
    """How a program computes a tile; `precision` is that of tl.dot for float32."""

    @property
    def warps(self) -> int: ...

    @property
    def stages(self) -> int: ...

    @property
    def precision(self) -> str: ...


def rounded(n: int) -> int:
    """The smallest power of 2 from n on."""
    return 1 << (n - 1).bit_length()


def padded(n: int) -> int:
    """The smallest power of 2 from n on that is an operand of tl.dot."""
    return max(SMALLEST, rounded(n))


def cdiv(n: int, size: int) -> int:
    return -(-n // size)


def options(tile: Tile) -> dict[str, Any]:
    """Of a kernel with products `tl.dot`."""
    return {
        "PRECISION": tile.precision,
        "num_warps": tile.warps,
        "num_stages": tile.stages,
        **FUSION,
    }
