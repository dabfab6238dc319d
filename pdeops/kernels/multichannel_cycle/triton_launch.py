"""Launches of `triton_kernels.py` and `triton_table.py`: the steps of `steps.py` by Triton.

For each step `runtime/tuning.py` chooses among its plain form (cuDNN, and a pass over memory for
each sum) and a few tiles of the fused kernel: the fused kernels read and write less, but the plain
form may have faster products. Where nothing can be timed the plain form serves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

from ..forms import is_interpreted
from ..runtime import tuning
from ..runtime.tiles import cdiv, options, padded, rounded
from . import triton_kernels, triton_table
from .geometry import MODES, ZERO, Geometry, Level, channels_last, joined
from .recording import PROLONGATION, STENCIL, Line, Recording, TableSteps, packed

PROGRAMS = 4  # per multiprocessor, which the sums of weight gradients are divided into


@dataclass(frozen=True)
class Tile:
    """Nodes of a tile along both axes, and how a program computes it."""

    x: int
    y: int
    warps: int = 4
    stages: int = 2
    precision: str = "ieee"


PLAIN = "plain"  # the candidate that is not a tile
Candidate = Tile | str
TILES = (Tile(8, 16), Tile(16, 16, 8), Tile(16, 16, 8, 3), Tile(16, 32, 8), Tile(8, 32, 8))
ROWS = (Tile(1, 64), Tile(1, 128, 8), Tile(1, 64, 4, 3))  # of sums over nodes
TABLE = (Tile(1, 64, 8, 1), Tile(1, 128, 8, 1), Tile(1, 32, 4, 1))


class TritonSteps(TableSteps):
    """The steps on two axes.

    Args:
        keep: whether r is written to memory, for the backward pass.
    """

    def __init__(self, geometry: Geometry, *, keep: bool) -> None:
        super().__init__(geometry)
        self.keep = keep
        self.modes = tuple(map(MODES.index, geometry.modes))
        self.adjoint_fits = all(m in (ZERO, "circular") for m in geometry.modes)

    # ------------------------------------------------------------------------- steps

    def stencil(self, u: Tensor, W: Tensor) -> Tensor:
        plain = super().stencil

        def run(tile: Tile) -> Tensor:
            return self._one(tile, u, Taps(W), ())

        return self._tuned("stencil", (u,), (W,), TILES, run, lambda: plain(u, W))

    def smooth(self, u: Tensor, f: Tensor, A: Tensor, S: Tensor) -> tuple[Tensor, Tensor | None]:
        plain = super().smooth

        def run(tile: Tile) -> tuple[Tensor, Tensor | None]:
            return self._two(tile, u, Taps(A), f, Taps(S), u, signs=(-1, 1))

        return self._tuned("smooth", (u, f), (A, S), TILES, run, lambda: plain(u, f, A, S))

    def restrict(self, u: Tensor, f: Tensor, A: Tensor, R: Tensor) -> tuple[Tensor, Tensor | None]:
        plain = super().restrict

        def run(tile: Tile) -> tuple[Tensor, Tensor | None]:
            return self._two(tile, u, Taps(A), f, Taps(R), None, signs=(-1, 1), every_second=True)

        return self._tuned("restrict", (u, f), (A, R), TILES, run, lambda: plain(u, f, A, R))

    def correct(self, u: Tensor, e: Tensor, P: Tensor) -> Tensor:
        plain = super().correct

        def run(tile: Tile) -> Tensor:
            (b, O, X, Y), (_, I, EX, EY) = u.shape, e.shape
            out, W = torch.empty_like(u), Taps(P, first_in=True)
            grid = b * cdiv(X, 2 * tile.x) * cdiv(Y, 2 * tile.y), 4
            triton_kernels.correct[grid](
                u, e, P, out, X, Y, EX, EY, *self.geometry.kept, I, O, *W.strides,
                *self.modes, tile.x, tile.y, padded(I), padded(O), **options(tile),
            )  # fmt: skip
            return out

        return self._tuned("correct", (u, e), (P,), TILES, run, lambda: plain(u, e, P))

    # ---------------------------------------------------------------------- adjoints

    def stencil_adjoint(self, g: Tensor, W: Tensor, terms: Sequence[Tensor] = ()) -> Tensor:
        plain, name = super().stencil_adjoint, f"stencil_adjoint {len(terms)}"
        if not self.adjoint_fits:
            return in_kernel_layout(plain(g, W, terms))

        def run(tile: Tile) -> Tensor:
            total = self._one(tile, g, Taps(W, first_in=True, reversed=True), terms[:2])
            for term in terms[2:]:
                total += term
            return total

        return self._tuned(name, (g,), (W,), TILES, run, lambda: plain(g, W, terms))

    def smooth_adjoint(self, g: Tensor, A: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        plain = super().smooth_adjoint
        if not self.adjoint_fits:
            return in_kernel_layout(plain(g, A, S))
        W, V = (Taps(w, first_in=True, reversed=True) for w in (S, A))

        def run(tile: Tile) -> tuple[Tensor, Tensor]:
            du, df = self._two(tile, g, W, None, V, g, signs=(1, -1), keep=True)
            assert df is not None
            return df, du

        return self._tuned("smooth_adjoint", (g,), (S, A), TILES, run, lambda: plain(g, A, S))

    def restrict_adjoint(
        self, g: Tensor, du: Tensor, A: Tensor, R: Tensor
    ) -> tuple[Tensor, Tensor]:
        plain = super().restrict_adjoint
        if not (self.adjoint_fits and self._halves(du.shape[2:])):
            return in_kernel_layout(plain(g, du, A, R))
        W, V = Taps(R, first_in=True), Taps(A, first_in=True, reversed=True)

        def run(tile: Tile) -> tuple[Tensor, Tensor]:
            how: dict[str, Any] = {"keep": True, "from_coarse": True}
            out, df = self._two(tile, g, W, None, V, du, signs=(1, -1), **how)
            assert df is not None
            return df, out

        fields = (g, du)
        return self._tuned(
            "restrict_adjoint", fields, (R, A), TILES, run, lambda: plain(g, du, A, R)
        )

    def correct_adjoint(self, g: Tensor, P: Tensor) -> Tensor:
        return in_kernel_layout(super().correct_adjoint(g, P))

    # ------------------------------------------------------------ gradients in weights

    def stencil_weight(self, u: Tensor, g: Tensor, W: Tensor) -> Tensor:
        plain = super().stencil_weight

        def run(tile: Tile) -> Tensor:
            (b, I, X, Y), O = u.shape, g.shape[1]
            nodes = b * X * Y
            programs = PROGRAMS * tuning.num_multiprocessors(u.device)
            size = cdiv(cdiv(nodes, tile.y), programs) * tile.y
            out = u.new_empty((cdiv(nodes, size), 3, 3, I, O), dtype=torch.float32)
            triton_kernels.stencil_weight[len(out), 3](
                u, g, out, b, X, Y, I, O, size, *self.modes, tile.y, padded(I), padded(O),
                **options(tile),
            )  # fmt: skip
            return out.sum(0).permute(3, 2, 0, 1).to(W.dtype)

        return self._tuned("stencil_weight", (u, g), (W,), ROWS, run, lambda: plain(u, g, W))

    # ---------------------------------------------------------- several steps in one call

    def run(
        self,
        lines: tuple[Line, ...],
        recording: Recording,
        buffer: Tensor,
        batch: int,
        levels: Sequence[Level],
    ) -> None:
        plain = super().run
        channels = max(p.channels for line in lines for p in (line.u, line.out))

        def run(tile: Tile) -> None:
            table = table_of(lines, buffer.device)
            triton_table.run_table[(batch,)](
                buffer, packed(levels), table, batch, len(table), *self.geometry.kept,
                table.shape[1], *self.modes, tile.y, padded(channels), **options(tile),
            )  # fmt: skip

        weights = tuple(joined(levels)[:2])
        arguments = (lines, recording, buffer, batch, levels)
        name = f"table of {len(lines)}"
        self._tuned(name, (buffer,), weights, TABLE, run, lambda: plain(*arguments))

    # ------------------------------------------------------------------------ launches

    def _one(self, tile: Tile, u: Tensor, W: "Taps", terms: Sequence[Tensor]) -> Tensor:
        """W * u plus terms."""
        b, I, X, Y = u.shape
        out = empty(u, W.O, (X, Y))
        term, term_2 = (*terms, u, u)[:2]
        triton_kernels.one_stencil[(b * cdiv(X, tile.x) * cdiv(Y, tile.y),)](
            u, W.weight, term, term_2, out, X, Y, I, W.O, *W.strides, len(terms), W.reversed,
            *self.modes, tile.x, tile.y, padded(I), padded(W.O), **options(tile),
        )  # fmt: skip
        return out

    def _two(
        self,
        tile: Tile,
        u: Tensor,
        W: "Taps",
        term: Tensor | None,
        V: "Taps",
        base: Tensor | None,
        *,
        signs: tuple[int, int],
        keep: bool | None = None,
        from_coarse: bool = False,
        every_second: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """out and r of the kernel `two_stencils`; r on the nodes of the term or else of base."""
        keep = self.keep if keep is None else keep
        (b, I, UX, UY), step = u.shape, 2 if every_second else 1
        fine = term if term is not None else base
        assert fine is not None
        X, Y = fine.shape[2:]
        OX, OY = self.geometry.coarse((X, Y)) if every_second else (X, Y)
        out = empty(u, V.O, (OX, OY))
        r = empty(u, W.O, (X, Y)) if keep else None
        kind = PROLONGATION if from_coarse else STENCIL
        tiles = cdiv(OX, (tile.x - 2) // step) * cdiv(OY, (tile.y - 2) // step)
        triton_kernels.two_stencils[(b * tiles,)](
            u, W.weight, u if term is None else term, u if r is None else r, V.weight,
            u if base is None else base, out, UX, UY, X, Y, OX, OY, *self.geometry.kept,
            I, W.O, V.O, *W.strides, *V.strides, *signs, term is not None, keep, base is not None,
            W.reversed, V.reversed, kind, step, *self.modes, tile.x, tile.y,
            padded(I), padded(W.O), padded(V.O), **options(tile),
        )  # fmt: skip
        return out, r

    def _halves(self, shape: Sequence[int]) -> bool:
        """Whether the ghost nodes of periodic axes are those of the transposed convolution."""
        pairs = zip(shape, self.geometry.modes, strict=True)
        return all(n % 2 == 0 for n, mode in pairs if mode == "circular")

    def _tuned(
        self,
        step: str,
        fields: tuple[Tensor, ...],
        weights: tuple[Tensor, ...],
        tiles: tuple[Tile, ...],
        run: Callable[[Tile], Any],
        plain: Callable[[], Any],
    ) -> Any:
        """The step in the fastest form for fields and weights of one dtype and size, rounded up to
        powers of 2."""
        u = fields[0]
        if not u.numel():
            return in_kernel_layout(plain())
        if is_interpreted():
            return run(tiles[0])
        candidates: tuple[Candidate, ...] = candidates_of(tiles, precisions(u.dtype))
        sizes = [rounded(n) for w in (*fields, *weights) for n in w.shape]
        key = ("multichannel_cycle", step, u.dtype, self.keep, *self.modes, *sizes)
        key += ("precision", precisions(u.dtype)[0])

        def call(candidate: Candidate) -> Any:
            return in_kernel_layout(plain()) if isinstance(candidate, str) else run(candidate)

        return tuning.run_best(key, candidates, call, u)


class Taps:
    """A weight (first, second, 3, 3) as the kernels read it.

    Attributes:
        strides: of kx, ky, channels in and channels out.
        O: channels out.
        reversed: whether the opposite node is meant.
    """

    def __init__(self, weight: Tensor, *, first_in: bool = False, reversed: bool = False) -> None:
        first, second, kx, ky = weight.stride()
        self.weight, self.reversed = weight, reversed
        self.strides = (kx, ky, *((first, second) if first_in else (second, first)))
        self.O = weight.shape[1 if first_in else 0]


def in_kernel_layout(results: Any) -> Any:
    """Results of plain operations in the layout of the kernels: a convolution of a field with one
    channel, whose layout is both, has channels first."""
    if isinstance(results, tuple):
        return tuple(map(in_kernel_layout, results))
    return channels_last(results) if isinstance(results, Tensor) else results


def empty(like: Tensor, channels: int, shape: Sequence[int]) -> Tensor:
    size = (len(like), channels, *shape)
    return torch.empty(
        size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def precisions(dtype: torch.dtype) -> tuple[str, ...]:
    """The precisions of products that fields of this dtype may use, of equal accuracy; torch's
    switch for convolutions allows TF32."""
    if dtype != torch.float32:
        return ("short",)
    if torch.backends.cudnn.conv.fp32_precision == "tf32":  # type: ignore[attr-defined]
        return ("tf32",)
    return ("ieee", "tf32x3")


@lru_cache
def candidates_of(tiles: tuple[Tile, ...], precisions: tuple[str, ...]) -> tuple[Candidate, ...]:
    return (PLAIN, *(replace(t, precision=p) for p in precisions for t in tiles))


@cache
def table_of(lines: tuple[Line, ...], device: torch.device) -> Tensor:
    """The lines as integers on a device, (line, column); kept, because CUDA graphs read it."""
    return torch.tensor([line.integers() for line in lines], dtype=torch.int32, device=device)
