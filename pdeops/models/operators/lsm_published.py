"""LSM as in its authors' code, on grids (see `lsm.py` for the form to prefer)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Grid
from ...nn.convolution import CHANNELS_LAST
from ...nn.domains import check_domain
from ...nn.heads import check_width
from ...nn.lsm_published import FACTOR, KEYS, PublishedTrunk, load_published, unit_positions
from ...nn.pointwise import Pointwise, PointwiseMLP

# Axes: b batch, c channel, *space nodes.


@dataclass(frozen=True)
class Variant:
    """One benchmark of the authors' code.

    Attributes:
        hidden_channels: width of the finest level.
        patch: nodes of a patch per axis, the same on every level.
        padding: zeros appended to each axis.
    """

    hidden_channels: int
    patch: tuple[int, ...]
    padding: tuple[int, ...]

    def accepts(self, shape: Sequence[int]) -> bool:
        """Whether the patches divide the padded grid on each level."""
        return len(shape) == len(self.patch) and all(
            (n + q) % (FACTOR * p) == 0
            for n, p, q in zip(shape, self.patch, self.padding, strict=True)
        )


PUBLISHED: dict[str, Variant] = {
    "darcy": Variant(64, (6, 6), (11, 11)),
    "navier_stokes": Variant(64, (4, 4), (0, 0)),
    "elasticity_grid": Variant(32, (3, 3), (7, 7)),
    "airfoil": Variant(32, (14, 4), (3, 13)),
    "pipe": Variant(48, (9, 9), (15, 15)),
    "plasticity": Variant(32, (7, 2, 2), (11, 1, 12)),
}


class PublishedLSM(nn.Module):
    """Input field -> output field by LSM as in its authors' code, on the grids of a benchmark.

    | variant           | used for                    | channels | parameters | grid          |
    | ----------------- | --------------------------- | -------: | ---------: | ------------- |
    | `darcy`           | Darcy                       |   1 -> 1 | 19,187,457 | 85 x 85       |
    | `navier_stokes`   | NS, nu = 1e-5, 10 frames in |  10 -> 1 | 19,188,033 | 64 x 64       |
    | `elasticity_grid` | Elasticity on a grid        |   1 -> 1 |  4,812,801 | 41 x 41       |
    | `airfoil`         | Airfoil                     |   2 -> 1 |  4,812,833 | 221 x 51      |
    | `pipe`            | Pipe                        |   2 -> 1 | 10,804,913 | 129 x 129     |
    | `plasticity`      | Plasticity, the last axis t |   1 -> 4 | 13,457,828 | 101 x 31 x 20 |

    Use it to reproduce the published results, with `PublishedPointLSM` for elasticity on scattered
    points. `LSM` takes any grid. The boundary conditions of the grid are ignored. Patches have a
    number of nodes, not a size, so another grid changes their number. Batch normalisation makes
    the output in training mode depend on the other samples; it is fixed in evaluation mode, in
    which the authors' code never ran Navier-Stokes. Per block, one sine and the bias of the keys
    have no effect.

    Args:
        variant: a name in `PUBLISHED`.
        hidden_channels: replaces the width of the variant; a multiple of 8.

    Raises:
        ValueError: the domain is not a box; the variant is unknown; its patches do not divide the
            padded grid (or later a field) on all five levels; 8 heads do not divide the width.
    """

    domains: ClassVar[tuple[type, ...]] = (Grid,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        variant: str = "darcy",
        hidden_channels: int | None = None,
        num_tokens: int = 4,
        num_basis: int = 12,
    ) -> None:
        super().__init__()
        check_domain(type(self), grid)
        if variant not in PUBLISHED:
            raise ValueError(f"Unknown variant {variant!r} of LSM; use {', '.join(PUBLISHED)}.")
        self.variant = PUBLISHED[variant]
        width = self.variant.hidden_channels if hidden_channels is None else hidden_channels
        check_width(width, "PublishedLSM")
        self.arguments: dict[str, Any] = {
            "variant": variant,
            "hidden_channels": width,
            "num_tokens": num_tokens,
            "num_basis": num_basis,
        }
        self.grid = grid
        self._require(grid.shape)
        self.lift = Pointwise(in_channels + grid.ndim, width)
        self.trunk = PublishedTrunk(
            width, self.variant.patch, num_tokens=num_tokens, num_basis=num_basis
        )
        self.head = PointwiseMLP(width, 128, out_channels)
        self.to(memory_format=CHANNELS_LAST[grid.ndim])  # type: ignore[call-overload]

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        shape = x.shape[2:]
        self._require(shape)
        position = unit_positions(shape, x).expand(x.shape[0], -1, *shape)
        u = self.lift(torch.cat([x, position], dim=1))
        u = F.pad(u, [q for p in reversed(self.variant.padding) for q in (0, p)])
        u = self.trunk(u.contiguous(memory_format=CHANNELS_LAST[len(shape)]))
        return self.head(u[(..., *(slice(n) for n in shape))])

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Load the authors' `state_dict`; `nn.lsm_published.KEYS` lists the names.

        Raises:
            ValueError: it is not that of this variant.
        """
        load_published(self, state, KEYS)

    def _require(self, shape: Sequence[int]) -> None:
        v = self.variant
        if not v.accepts(shape):
            multiples = " x ".join(str(FACTOR * p) for p in v.patch)
            padding = " x ".join(map(str, v.padding))
            raise ValueError(
                f"PublishedLSM needs a grid of {len(v.patch)} axes that is a multiple of "
                f"{multiples} after a padding by {padding}; got {' x '.join(map(str, shape))}. Use "
                f"another variant than {self.arguments['variant']!r}, resample the data, or use "
                f"LSM, which takes any grid."
            )
