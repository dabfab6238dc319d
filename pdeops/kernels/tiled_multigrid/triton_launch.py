"""Launches of `triton_kernels.py`: strides, tiles, halos, steps per launch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..runtime import tuning
from ..runtime.tiles import FUSION, cdiv, rounded
from . import triton_kernels as kernels
from .level import Offset, coarse_shape, offsets

T = TypeVar("T")
Candidate = TypeVar("Candidate")
FEW = 2**16  # nodes up to which a launch takes longer than its work, whatever the tile


@dataclass(frozen=True)
class Tile:
    """Nodes of a tile per axis, halo included, and how a program computes it.

    Attributes:
        steps: of a smoother per launch; 0: all that its halo has room for.
    """

    z: int
    x: int
    y: int
    warps: int = 4
    steps: int = 0

    def within(self, S: Sequence[int], halo: int, device: torch.device) -> "Tile":
        """The tile; in the interpreter no larger than a field and its halo. A GPU compiles each
        tile anew, and masks cost it nothing."""
        if device.type != "cpu":
            return self
        ends = [rounded(s + 2 * halo) if s > 1 else 1 for s in S]
        z, x, y = (min(b, e) for b, e in zip((self.z, self.x, self.y), ends, strict=True))
        return replace(self, z=z, x=x, y=y)

    def deepest(self, S: Sequence[int]) -> int:
        """Layers of a halo that leave half the nodes of the tile on each axis."""
        sizes = zip((self.z, self.x, self.y), S, strict=True)
        return max(1, min(t for t, s in sizes if s > 1) // 4)

    @property
    def options(self) -> dict[str, Any]:
        """Of a launch."""
        return {
            "BZ": self.z,
            "BX": self.x,
            "BY": self.y,
            "num_warps": self.warps,
            **FUSION,
        }


# Candidates by number of axes. The first one is that of the interpreter.
TILES = {
    1: (Tile(1, 1, 256), Tile(1, 1, 1024), Tile(1, 1, 256, steps=1)),
    2: (
        Tile(1, 16, 64),
        Tile(1, 32, 64),
        Tile(1, 32, 64, 8),
        Tile(1, 32, 128, 8),
        Tile(1, 16, 128, steps=1),
    ),
    3: (
        Tile(8, 8, 32),
        Tile(8, 8, 64, 8),
        Tile(4, 8, 64, steps=1),
        Tile(8, 8, 32, steps=1),
        Tile(8, 8, 64, 8, steps=1),
    ),
}
# Without a halo, for kernels that read neighbours from memory.
FLAT = {
    1: (Tile(1, 1, 512), Tile(1, 1, 1024)),
    2: (Tile(1, 8, 128), Tile(1, 4, 256), Tile(1, 16, 64)),
    3: (Tile(2, 4, 64), Tile(4, 4, 64), Tile(1, 8, 128)),
}
CELLS = {
    1: (Tile(1, 1, 256),),
    2: (Tile(1, 16, 32), Tile(1, 16, 64), Tile(1, 8, 64)),
    3: (Tile(4, 8, 16), Tile(8, 8, 16), Tile(8, 8, 32, 8)),
}


def residual(c: Tensor, e: Tensor | None, u: Tensor, b: Tensor | None, n: Sequence[int]) -> Tensor:
    """b - A u, or A u without b."""
    u = u.contiguous()
    has_b = b is not None
    b = u if b is None else b.contiguous()
    S, num, out = three(u.shape[1:], 1), len(u), torch.empty_like(u)

    def run(tile: Tile) -> Tensor:
        tile = tile.within(S, 0, u.device)
        tiles = [cdiv(s, t) for s, t in zip(S, (tile.z, tile.x, tile.y), strict=True)]
        kernels.residual[(num * tiles[0] * tiles[1] * tiles[2],)](
            u, b, c, excess(e, u), out, num, *three(n, 0), *S, *strides(c, e), *tiles[1:],
            D=len(n), OFFSETS=triples(len(n), len(c)), EXCESS=e is not None, HAS_B=has_b,
            **tile.options,
        )  # fmt: skip
        return out

    return tuned("residual", u, c, FLAT[len(n)], run)


def smooth(
    c: Tensor,
    e: Tensor | None,
    u: Tensor | None,
    b: Tensor,
    lengths: Sequence[float],
    U: Tensor | None,
    w: Tensor | None,
    n: Sequence[int],
    coarsen: Sequence[bool],
) -> Tensor:
    """u + P U, then a step for each length; several steps per launch, as the tile says."""
    b = b.contiguous()
    u = None if u is None else u.contiguous()
    U = None if U is None else U.contiguous()
    S, num = three(b.shape[1:], 1), len(b)
    C = three(coarse_shape(n, coarsen), 1)
    G = three([int(g) for g in coarsen], 0)

    def launch(tile: Tile, u: Tensor | None, U: Tensor | None, some: Sequence[float]) -> Tensor:
        from_zero = u is None
        halo = max(0, len(some) - (from_zero and U is None))
        tile = tile.within(S, halo, b.device)
        halos = [halo if s > 1 else 0 for s in S]
        sizes = [t - 2 * h for t, h in zip((tile.z, tile.x, tile.y), halos, strict=True)]
        tiles = [cdiv(s, t) for s, t in zip(S, sizes, strict=True)]
        out = torch.empty_like(b)
        kernels.smooth[(num * tiles[0] * tiles[1] * tiles[2],)](
            b if u is None else u, b, c, excess(e, b), values(tuple(some), b.dtype, b.device),
            b if U is None else U, b if w is None else w, out, num, *three(n, 0), *S, *C,
            *strides(c, e), *tiles[1:], D=len(n), OFFSETS=triples(len(n), len(c)),
            EXCESS=e is not None, FROM_ZERO=from_zero, CORRECT=U is not None, STEPS=len(some),
            GZ=G[0], GX=G[1], GY=G[2], H=halo, **tile.options,
        )  # fmt: skip
        return out

    def run(tile: Tile) -> Tensor:
        v, coarse = u, U
        count = min(tile.steps or len(lengths), tile.deepest(S)) or 1
        for first in range(0, max(1, len(lengths)), count):
            v, coarse = launch(tile, v, coarse, lengths[first : first + count]), None
        assert v is not None
        return v

    kind = ("from zero" if u is None else "", "corrected" if U is not None else "", len(lengths))
    return tuned("smooth", b, c, TILES[len(n)], run, kind)


def restrict(
    c: Tensor,
    e: Tensor | None,
    u: Tensor | None,
    b: Tensor,
    w: Tensor,
    n: Sequence[int],
    coarsen: Sequence[bool],
) -> Tensor:
    """Pᵀ (b - A u), or Pᵀ b without u."""
    b = b.contiguous()
    field = b if u is None else u.contiguous()
    S, num, shape = three(b.shape[1:], 1), len(b), coarse_shape(n, coarsen)
    C, G = three(shape, 1), three([int(g) for g in coarsen], 0)
    N = [k >> g for k, g in zip(three(n, 0), G, strict=True)]
    out = b.new_empty(num, *shape)

    def run(tile: Tile) -> Tensor:
        tile = tile.within(C, 1, b.device)
        sizes = [t - g for t, g in zip((tile.z, tile.x, tile.y), G, strict=True)]
        tiles = [cdiv(s, t) for s, t in zip(C, sizes, strict=True)]
        kernels.restrict[(num * tiles[0] * tiles[1] * tiles[2],)](
            field, b, c, excess(e, b), w, out, num, *three(n, 0), *S, *N, *C, *strides(c, e),
            *tiles[1:], D=len(n), OFFSETS=triples(len(n), len(c)), EXCESS=e is not None,
            HAS_U=u is not None, PARITIES=parities(tuple(G)), GZ=G[0], GX=G[1], GY=G[2],
            **tile.options,
        )  # fmt: skip
        return out

    return tuned("restrict", b, c, CELLS[len(n)], run, ("residual" if u is not None else "",))


# ----------------------------------------------------------------------- arguments of the kernels


def three(values: Sequence[int], missing: int) -> list[int]:
    """One number per axis z, x, y."""
    return [*[missing] * (3 - len(values)), *values]


@cache
def triples(ndim: int, count: int) -> tuple[Offset, ...]:
    """The offsets of the couplings along three axes."""
    return tuple(tuple(three(o, 0)) for o in offsets(ndim, count))


@cache
def parities(coarsen: tuple[int, ...]) -> tuple[Offset, ...]:
    """The indices modulo 2 of the nodes of a cell."""
    return tuple(product(*[(0, 1) if g else (0,) for g in coarsen]))


def strides(c: Tensor, e: Tensor | None) -> list[int]:
    """Of the couplings and of the excess."""
    return [c.stride(0), *three(c.stride()[1:], 0), *three(e.stride() if e is not None else (), 0)]


def excess(e: Tensor | None, instead: Tensor) -> Tensor:
    return instead if e is None else e


@cache
def values(
    numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> Float[Tensor, " n"]:
    """The numbers on the device; kept, because they cannot be copied into a CUDA graph."""
    return torch.tensor(numbers or (0.0,), dtype=dtype, device=device)


def tuned(
    kernel: str,
    u: Float[Tensor, "m *stored"],
    c: Tensor,
    tiles: tuple[Candidate, ...],
    run: Callable[[Candidate], T],
    kind: tuple[object, ...] = (),
) -> T:
    """run(tile) with the fastest tile for fields of this dtype and size, rounded up to powers of
    2, and for constant couplings or not."""
    constant = "constant" if not any(c.stride()[1:]) else "variable"
    key = ("tiled_multigrid", kernel, u.dtype, *map(rounded, u.shape), len(c), constant, *kind)
    if u.numel() < FEW:
        with torch.cuda.device_of(u):
            return run(tiles[0])
    return tuning.run_best(key, tiles, run, u)
