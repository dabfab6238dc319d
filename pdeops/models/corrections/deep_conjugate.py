"""A network for conjugate directions: linear in the residual, gated by the couplings of A."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...linop import LinearOperator
from ...nn.convolution import (
    CHANNELS_LAST,
    CONV,
    CONV_TRANSPOSE,
    POOL,
    mean_of_pairs,
    pad_to_even,
    within,
)
from ...solvers.operators.diffusion import Diffusion

# Axes: b batch, c channel, f features of the system. Level 0 is the finest.

Gates = list[list[Tensor]]  # of a block: gates[level][i] is applied after i convolutions


class DeepConjugate(nn.Module):
    """A residual and the couplings of its system -> a direction close to the error A⁻¹ r.

    The network has the form of a multigrid cycle on many channels. On the way down, each level
    applies a block of 3^d convolutions and halves the number of cells per axis, until two remain.
    On the way up, each level adds its field from the way down and applies another block. No bias
    and no activation acts on r, so the map is linear in r: scaling by any factor is exact, also in
    float32. Fields are multiplied by gates before and after each convolution. The gates depend on
    the couplings at the cell faces and on the fluid fraction, both averaged to the level; through
    them the network sees walls. They are computed once per system (`at`, `on`), not in each step.

    The network accepts any resolution: levels beyond the last of `widths` share its weights. The
    map is not symmetric and hence not for plain CG; see `solvers.deep_conjugate_direction`.
    `PublishedDeepConjugate` is a stack at full resolution that does not see walls.

    Args:
        ndim: number of space axes.
        widths: channels per level from the finest; work per cell is 4 · 3^d Σ_l widths_l² / 2^(dl)
            for two convolutions per block.
        features: number of channels from which the gates are computed.
        convolutions: number of convolutions in each of the two blocks of a level.

    Raises:
        ValueError: `widths` is empty, or a number is below 1.
    """

    def __init__(
        self,
        ndim: int = 2,
        *,
        widths: Sequence[int] = (16, 32),
        features: int = 16,
        convolutions: int = 2,
    ) -> None:
        super().__init__()
        if not widths or min(*widths, features, convolutions) < 1:
            raise ValueError(
                f"widths, features and convolutions must be 1 or more; got {tuple(widths)}, "
                f"{features}, {convolutions}."
            )
        self.ndim = ndim
        self.arguments: dict[str, Any] = {
            "widths": list(widths),
            "features": features,
            "convolutions": convolutions,
        }
        conv, transpose = CONV[ndim], CONV_TRANSPOSE[ndim]
        pairs = list(zip(widths, [*widths[1:], widths[-1]], strict=True))
        self.lift = conv(1, widths[0], 3, padding=1, bias=False)
        self.read = nn.ModuleList(
            nn.Sequential(
                conv(2 * ndim + 1, features, 3, padding=1),
                nn.ReLU(),
                conv(features, features, 1),
                nn.ReLU(),
            )
            for _ in widths
        )
        self.before = nn.ModuleList(_Block(ndim, c, features, convolutions) for c in widths)
        self.after = nn.ModuleList(_Block(ndim, c, features, convolutions) for c in widths)
        self.restrict = nn.ModuleList(conv(c, k, 2, stride=2, bias=False) for c, k in pairs)
        self.prolong = nn.ModuleList(transpose(k, c, 2, stride=2, bias=False) for c, k in pairs)
        self.head = conv(widths[0], 1, 3, padding=1, bias=False)
        self._start_as_a_sum_over_levels()
        self.to(memory_format=CHANNELS_LAST[ndim])  # type: ignore[call-overload]

    @torch.no_grad()
    def _start_as_a_sum_over_levels(self) -> None:
        """Initialise the network near Σ_l h_l² P_l R_l r (Bramble, Pasciak & Xu 1990).

        Restrictions start near means and prolongations near injection, channel by channel, with a
        gain of 4 per level (h² grows by 4). From random weights, the loss may stay constant for
        hundreds of steps.
        """
        middle = (0, 0, *(1,) * self.ndim)
        for ends in (self.lift, self.head):
            ends.weight.mul_(0.1)
            ends.weight[middle] += 1
        for restrict, prolong in zip(self.restrict, self.prolong, strict=True):
            for weight, gain in ((restrict.weight, 2.0 / 2**self.ndim), (prolong.weight, 2.0)):
                assert isinstance(weight, Tensor)
                weight.mul_(0.1)
                for i in range(min(weight.shape[:2])):
                    weight[i, i] += gain

    @property
    def work(self) -> float:
        """Multiply-adds per cell of the convolutions in one application, on a large grid."""
        widths = self.arguments["widths"]
        total, taps = 2.0 * 3**self.ndim * widths[0], 3**self.ndim
        for level in range(30):  # a geometric series
            i = min(level, len(widths) - 1)
            c, coarse = widths[i], widths[min(i + 1, len(widths) - 1)]
            blocks = 2 * self.arguments["convolutions"] * taps * c**2
            total += (blocks + 2 * c * coarse) / 2 ** (self.ndim * level)
        return total

    def forward(
        self, r: Float[Tensor, "b 1 *space"], faces: Sequence[Tensor]
    ) -> Float[Tensor, "b 1 *space"]:
        return self.at(faces)(r)

    def at(self, faces: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """The map r -> z for systems with these couplings; computes their gates.

        `faces[axis]` has shape (b, *space) with one more entry along `axis`, and values up to about
        1.
        """
        down, up = self._gates(faces)
        last = len(down) - 1

        def direction(r: Tensor) -> Tensor:
            u, left = self.lift(r), []
            for level in range(last):
                u = self._of(self.before, level)(u, down[level])
                left.append(u)
                u = self._of(self.restrict, level)(pad_to_even(u))
            u = self._of(self.before, last)(u, down[last])
            u = self._of(self.after, last)(u, up[last])
            for level in reversed(range(last)):
                fine = left.pop()
                u = fine + self._of(self.prolong, level)(u)[within(fine)]
                u = self._of(self.after, level)(u, up[level])
            return self.head(u)

        return direction

    @torch.no_grad()
    def on(self, A: LinearOperator) -> Callable[[Tensor], Tensor]:
        """The map r -> z for one system, as in `deep_conjugate_direction(A, b, model.on(A))`.

        z has the dtype of r; the network computes in the dtype of its weights.

        Raises:
            ValueError: A is not a `Diffusion`, or has another number of axes.
        """
        if not isinstance(A, Diffusion) or A.ndim != self.ndim:
            raise ValueError(
                f"This network reads the couplings of a Diffusion operator on {self.ndim} axes; "
                f"got {A!r}. For a matrix take `recognise(matrix).inner`."
            )
        parameter = next(self.parameters())
        largest = max(c.max().item() for c in A.faces) or 1.0
        direction = self.at([(c / largest).to(parameter)[None] for c in A.faces])

        @torch.no_grad()
        def cast(r: Tensor) -> Tensor:
            return direction(r.to(parameter)).to(r)

        return cast

    def _of(self, modules: nn.ModuleList, level: int) -> nn.Module:
        return modules[min(level, len(modules) - 1)]

    def _gates(self, faces: Sequence[Tensor]) -> tuple[Gates, Gates]:
        """The gates of the blocks on the way down and on the way up."""
        down: Gates = []
        up: Gates = []
        fluid: Tensor | None = None
        while True:
            around = _around(faces)
            fluid = around.amax(1, keepdim=True).sign() if fluid is None else mean_of_pairs(fluid)
            features = self._of(self.read, len(down))(torch.cat((around, fluid), dim=1))
            for gates, blocks in ((down, self.before), (up, self.after)):
                block = self._of(blocks, len(gates))
                assert isinstance(block, _Block)
                gates.append([gate(features) for gate in block.gates])
            if max(fluid.shape[2:]) <= 2:
                return down, up
            faces = [_coarse_faces(c, axis) for axis, c in enumerate(faces)]


class _Block(nn.Module):
    """u -> u + G_k C_k ... G_1 C_1 G_0 u: convolutions C, one gate G per cell and channel."""

    def __init__(self, ndim: int, channels: int, features: int, convolutions: int) -> None:
        super().__init__()
        stencils = [
            CONV[ndim](channels, channels, 3, padding=1, bias=False) for _ in range(convolutions)
        ]
        gates = [CONV[ndim](features, channels, 1) for _ in range(convolutions + 1)]
        with torch.no_grad():  # initially the gates are 1 and the blocks are near the identity
            for gate in gates:
                assert gate.bias is not None
                gate.weight.zero_()
                gate.bias.fill_(1.0)
            stencils[-1].weight.mul_(0.1)
        self.convolutions, self.gates = nn.ModuleList(stencils), nn.ModuleList(gates)

    def forward(self, u: Float[Tensor, "b c *space"], gates: list[Tensor]) -> Tensor:
        v = u * gates[0]
        for convolution, gate in zip(self.convolutions, gates[1:], strict=True):
            v = convolution(v) * gate
        return u + v


def _around(faces: Sequence[Tensor]) -> Float[Tensor, "b two_d *space"]:
    """The couplings at the two faces of each cell, axis by axis."""
    both = [c.narrow(1 + axis, i, c.shape[1 + axis] - 1)
            for axis, c in enumerate(faces) for i in (0, 1)]  # fmt: skip
    return torch.stack(both, dim=1)


def _coarse_faces(c: Tensor, axis: int) -> Tensor:
    """The mean coupling at the faces of pairs of cells; couplings beyond an odd end are zero."""
    c = c.unsqueeze(1)
    n = c.shape[2 + axis] - 1
    if n % 2:
        c = torch.cat((c, torch.zeros_like(c.narrow(2 + axis, 0, 1))), dim=2 + axis)
    c = c.index_select(2 + axis, torch.arange(0, n + 2, 2, device=c.device))
    window = [1 if a == axis else 2 for a in range(c.ndim - 2)]
    pad = [p for k, m in zip(window[::-1], c.shape[:1:-1], strict=True) for p in (0, -m % k)]
    return POOL[c.ndim - 2](F.pad(c, pad), window)[:, 0]
