"""MgNO as in its authors' code, which differs from the paper (see `mgno.py`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Grid
from ...nn.domains import check_domain

# Axes: b batch, f channels of the right-hand side, u of the solution, x y space, X Y coarse space.


@dataclass(frozen=True)
class Variant:
    """One network of the authors' code: its constructor arguments and fixed choices.

    Attributes:
        sweeps: smoothing steps before and after the coarser levels, per level, finest first.
        upward: kernel size of the transposed convolution to each level but the coarsest, finest
            first; `upward` and `margin` determine the admissible grid sizes.
        margin: padding of all transfers, which have stride 2; downward kernels are 3 x 3.
        padding: padding mode of A, S and the downward transfers ("zeros", "circular", "reflect");
            with margin = 0 the transfers have none.
        bias: whether every A and S has a bias.
        growth: whether level l (from 0) has l + 1 times the channels of the finest.
        unused_a: whether the first sweep on the finest level has an A, although u = 0 there.
        pointwise: whether a layer adds a 1x1 map with a bias.
        nodes: nodes per axis of the only admissible grid, if LayerNorm has weights per node.
        level_norm: whether LayerNorm follows each upward transfer.
        affine_levels: number of levels, finest first, whose LayerNorm has weights per node.
        layer_norm: whether LayerNorm with weights per node follows each layer.
        head: the last map, from hidden to output channels.
        skip: whether the network predicts the change of its input.
    """

    hidden_channels: int
    n_layers: int
    sweeps: tuple[tuple[int, int], ...]
    upward: tuple[int, ...]
    head: "Callable[[Variant, int], nn.Module]"
    margin: int = 1
    padding: Literal["zeros", "circular", "reflect"] = "zeros"
    bias: bool = False
    growth: bool = False
    unused_a: bool = False
    pointwise: bool = False
    nodes: int | None = None
    level_norm: bool = False
    affine_levels: int = 0
    layer_norm: bool = False
    skip: bool = False

    def coarsen(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Nodes after a downward transfer."""
        return tuple((n + 2 * self.margin - 3) // 2 + 1 for n in shape)

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether upward transfers restore the size of every level, and LayerNorm's weights fit."""
        if len(shape) != 2 or self.nodes is not None:
            return shape == (self.nodes, self.nodes)
        for kernel in self.upward:
            coarse = self.coarsen(shape)
            if min(coarse) < 1 or shape != tuple(
                2 * n - 2 - 2 * self.margin + kernel for n in coarse
            ):
                return False
            shape = coarse
        return True


def linear_head(v: Variant, out_channels: int) -> nn.Module:
    """A 1x1 map without a bias."""
    return nn.Conv2d(v.hidden_channels, out_channels, 1, bias=False)


def affine_head(v: Variant, out_channels: int) -> nn.Module:
    """A 1x1 map."""
    return nn.Conv2d(v.hidden_channels, out_channels, 1)


def cycle_head(v: Variant, out_channels: int) -> nn.Module:
    """One more cycle, with out_channels channels."""
    return PublishedCycle(v, v.hidden_channels, out_channels)


_DARCY_SWEEPS = ((1, 0),) * 5 + ((2, 0),)

PUBLISHED: dict[str, Variant] = {
    "darcy_rough": Variant(  # also used for multiscale coefficients
        24, 4, _DARCY_SWEEPS, upward=(4,) * 5, head=linear_head, pointwise=True
    ),
    "darcy_smooth": Variant(
        24, 5, _DARCY_SWEEPS, upward=(3, 4, 3, 3, 4), head=linear_head, pointwise=True
    ),
    "pipe": Variant(
        24,
        5,
        ((1, 0),) * 4 + ((1, 1), (2, 0)),
        upward=(4,) * 5,
        head=linear_head,
        pointwise=True,
    ),
    "navier_stokes": Variant(
        32,
        5,
        ((1, 0),) * 3 + ((2, 0),) * 2,
        upward=(4,) * 4,
        head=linear_head,
        padding="circular",
        bias=True,
        nodes=64,
        level_norm=True,
        affine_levels=4,
        skip=True,
    ),
    "helmholtz": Variant(
        20,
        4,
        ((1, 0),) * 4 + ((2, 0),),
        upward=(3, 4, 4, 3),
        head=cycle_head,
        margin=0,
        padding="reflect",
        bias=True,
        growth=True,
        unused_a=True,
        nodes=101,
        layer_norm=True,
        affine_levels=1,
    ),
    "helmholtz_plain": Variant(
        20,
        4,
        ((1, 0),) * 4 + ((2, 0),),
        upward=(3, 4, 4, 3),
        head=affine_head,
        margin=0,
        padding="reflect",
        nodes=101,
        level_norm=True,
        affine_levels=1,
    ),
}


class Sweep(nn.Module):
    """u -> u + S (f - A u), with an A and an S per sweep; u = None means u = 0 and gives S f."""

    def __init__(self, v: Variant, f: int, u: int, *, from_zero: bool) -> None:
        super().__init__()
        self.S = nn.Conv2d(f, u, 3, padding=1, padding_mode=v.padding, bias=v.bias)
        if v.unused_a or not from_zero:
            self.A = nn.Conv2d(u, f, 3, padding=1, padding_mode=v.padding, bias=v.bias)

    def forward(
        self, f: Float[Tensor, "b f x y"], u: Float[Tensor, "b u x y"] | None
    ) -> Float[Tensor, "b u x y"]:
        if u is None:
            return self.S(f)
        r = self.A(u).neg_().add_(f)  # in place: no allocation, channels stay last
        return self.S(r).add_(u)


class PublishedCycle(nn.Module):
    """f -> u, the authors' cycle: it restricts both f and u and adds all of the coarse u.

        u <- u + S (f - A u)                   `sweeps[l][0]` times, each with its A and S
        u <- norm(u + P coarser(R f, Pi u))    f, not the residual; the coarse u starts from Pi u
        u <- u + S (f - A u)                   `sweeps[l][1]` times, with the f of this level

    R, Pi and P are learned and independent. With Pi = 0 and one sweep this is additive multigrid,
    B_l = S_l + P_l B_{l+1} R_l. It cannot represent a multiplicative cycle.
    """

    def __init__(self, v: Variant, in_channels: int, channels: int, level: int = 0) -> None:
        super().__init__()

        def width(channels: int, level: int) -> int:
            return channels * (level + 1) if v.growth else channels

        f, u = width(in_channels, level), width(channels, level)
        before, after = v.sweeps[level]
        self.before = nn.ModuleList(
            Sweep(v, f, u, from_zero=level == i == 0) for i in range(before)
        )
        self.after = nn.ModuleList(Sweep(v, f, u, from_zero=False) for _ in range(after))
        self.coarser: PublishedCycle | None = None
        if level + 1 < len(v.sweeps):
            F_, U = width(in_channels, level + 1), width(channels, level + 1)
            down = partial(
                nn.Conv2d,
                kernel_size=3,
                stride=2,
                padding=v.margin,
                padding_mode=v.padding if v.margin else "zeros",
                bias=False,
            )
            self.R, self.Pi = down(f, F_), down(u, U)
            self.P = nn.ConvTranspose2d(
                U, u, v.upward[level], stride=2, padding=v.margin, bias=False
            )
            self.norm = _norm(v, u, level) if v.level_norm else nn.Identity()
            self.coarser = PublishedCycle(v, in_channels, channels, level + 1)

    def forward(
        self, f: Float[Tensor, "b f x y"], u: Float[Tensor, "b u x y"] | None = None
    ) -> Float[Tensor, "b u x y"]:
        for sweep in self.before:
            u = sweep(f, u)
        assert u is not None  # every level sweeps before
        if self.coarser is not None:
            correction = self.P(self.coarser(self.R(f), self.Pi(u)))
            u = self.norm(correction.add_(u))
        for sweep in self.after:
            u = sweep(f, u)
        return u


def _norm(v: Variant, channels: int, level: int) -> nn.LayerNorm:
    """LayerNorm over channels and space, with weights per node of the level's grid."""
    assert v.nodes is not None
    shape: tuple[int, ...] = (v.nodes, v.nodes)
    for _ in range(level):
        shape = v.coarsen(shape)
    return nn.LayerNorm([channels, *shape], elementwise_affine=level < v.affine_levels)


class PublishedLayer(nn.Module):
    """u -> gelu(norm(W u) + W_1x1 u + b); a variant may lack norm or W_1x1 u + b."""

    def __init__(self, v: Variant, in_channels: int) -> None:
        super().__init__()
        self.multigrid = PublishedCycle(v, in_channels, v.hidden_channels)
        self.norm = _norm(v, v.hidden_channels, 0) if v.layer_norm else nn.Identity()
        self.pointwise = nn.Conv2d(in_channels, v.hidden_channels, 1) if v.pointwise else None

    def forward(self, u: Float[Tensor, "b c x y"]) -> Float[Tensor, "b c_out x y"]:
        w = self.norm(self.multigrid(u))
        return F.gelu(w if self.pointwise is None else w.add_(self.pointwise(u)))


class PublishedMgNO(nn.Module):
    """Input field -> output field by MgNO as in its authors' code, on the grids of a variant.

    | variant           | used for                    | parameters | nodes per axis        |
    | ----------------- | --------------------------- | ---------: | --------------------- |
    | `darcy_rough`     | Darcy 256², multiscale 256² |    572,661 | multiples of 32       |
    | `darcy_smooth`    | Darcy 211²                  |    678,093 | 19 (mod 32)           |
    | `pipe`            | Pipe 128², two inputs       |    783,876 | multiples of 32       |
    | `navier_stokes`   | NS, nu = 1e-5               |  2,885,194 | 64 x 64               |
    | `helmholtz`       | Helmholtz                   |  5,351,806 | 101 x 101             |
    | `helmholtz_plain` | Helmholtz, the alternative  |  1,933,797 | 101 x 101             |

    Use it to reproduce the published results; `MgNO` is the paper's definition. The variants differ
    in the attributes of `Variant`. Padding is that of the variant: the boundary conditions of the
    grid are ignored. `navier_stokes` pads its stencils periodically but not its upward transfers,
    so it does not commute with shifts. Cycles with LayerNorm or biases are not linear. `helmholtz`
    has 11,241 unused parameters. The authors' heads have one output channel; these have
    out_channels.

    Args:
        variant: a name in `PUBLISHED`.
        hidden_channels, n_layers: replace the values of the variant.

    Raises:
        ValueError: the domain is not a box; the variant is unknown; the variant cannot coarsen and
            refine a grid (or later a field) to the same size; the variant predicts the change of
            its input, but in_channels != out_channels.
    """

    domains: ClassVar[tuple[type, ...]] = (Grid,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        variant: str = "darcy_rough",
        hidden_channels: int | None = None,
        n_layers: int | None = None,
    ) -> None:
        super().__init__()
        check_domain(type(self), grid)
        if variant not in PUBLISHED:
            raise ValueError(f"Unknown variant {variant!r} of MgNO; use {', '.join(PUBLISHED)}.")
        v = PUBLISHED[variant]
        self.arguments: dict[str, Any] = {
            "variant": variant,
            "hidden_channels": hidden_channels or v.hidden_channels,
            "n_layers": n_layers or v.n_layers,
        }
        self.variant = v = replace(
            v,
            hidden_channels=self.arguments["hidden_channels"],
            n_layers=self.arguments["n_layers"],
        )
        self.grid = grid
        self._require(grid.shape)
        if v.skip and in_channels != out_channels:
            raise ValueError(
                f"Variant {variant!r} predicts the change of its input; got {in_channels} input "
                f"and {out_channels} output channels. Use as many of each, or another variant."
            )
        widths = [in_channels] + [v.hidden_channels] * v.n_layers
        self.layers = nn.ModuleList(PublishedLayer(v, i) for i in widths[:-1])
        self.head = v.head(v, out_channels)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Float[Tensor, "b c x y"]) -> Float[Tensor, "b c_out x y"]:
        self._require(x.shape[2:])
        u = x.clone(memory_format=torch.channels_last)  # one channel needs the copy
        for layer in self.layers:
            u = layer(u)
        y = self.head(u)
        return x + y if self.variant.skip else y

    def _require(self, shape: Sequence[int]) -> None:
        if not self.variant.accepts(tuple(shape)):
            near = sorted(range(1, 512), key=lambda n: abs(n - max(shape)))
            fitting = sorted([n for n in near if self.variant.accepts((n, n))][:3])
            raise ValueError(
                f"PublishedMgNO needs {' or '.join(map(str, fitting))} nodes per axis, or others "
                f"that its variant {self.arguments['variant']!r} can halve and double back; got "
                f"{' x '.join(map(str, shape))}. Resample the data, or use MgNO, which takes any "
                f"grid."
            )
