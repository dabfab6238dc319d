"""The steps of a cycle and their adjoints in plain torch, each one call: the units that Triton
fuses (`triton_launch.py`) and the twins of its kernels.

An adjoint maps the gradient of a loss in the result to the gradients in the arguments. The steps
are linear, so it needs the weights alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import reference
from .geometry import Geometry, Level, Padding
from .ghosts import add_ghosts, fold_ghosts

# Axes: b batch, f channels of the right-hand side, u of the solution, fine and coarse space.


class Steps:
    """The steps on fields of one geometry, of one to three axes.

    Layout: results have that of torch's convolutions, which keep channels last.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.convolve = reference.CONVOLVE[geometry.ndim]
        self.convolve_transposed = reference.CONVOLVE_TRANSPOSED[geometry.ndim]

    # ------------------------------------------------------------------------- steps

    def stencil(self, u: Tensor, W: Tensor) -> Tensor:
        """W * u."""
        return reference.stencil(u, W, self.geometry)

    def smooth(self, u: Tensor, f: Tensor, A: Tensor, S: Tensor) -> tuple[Tensor, Tensor | None]:
        """u + S r and r = f - A u."""
        r = reference.residual(u, f, A, self.geometry)
        return self.stencil(r, S).add_(u), r

    def restrict(self, u: Tensor, f: Tensor, A: Tensor, R: Tensor) -> tuple[Tensor, Tensor | None]:
        """R r and r = f - A u."""
        r = reference.residual(u, f, A, self.geometry)
        return reference.restriction(r, R, self.geometry), r

    def correct(self, u: Tensor, e: Tensor, P: Tensor) -> Tensor:
        """u + P e."""
        return u + reference.prolongation(e, P, self.geometry, u.shape[2:])

    # ---------------------------------------------------------------------- adjoints

    def stencil_adjoint(self, g: Tensor, W: Tensor, terms: Sequence[Tensor] = ()) -> Tensor:
        """Wᵀ g plus the sum of some terms."""
        zeros, ghosts = self.geometry.stencil
        total = fold_ghosts(self.convolve_transposed(g, W, padding=zeros), *ghosts)
        for term in terms:
            total = total.add_(term)
        return total

    def smooth_adjoint(self, g: Tensor, A: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        """Of `smooth`: the gradients in f, Sᵀ g, and in u, g - Aᵀ Sᵀ g."""
        df = self.stencil_adjoint(g, S)
        return df, self.stencil_adjoint(df, A).neg_().add_(g)

    def restrict_adjoint(
        self, g: Tensor, du: Tensor, A: Tensor, R: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of `restrict`: the gradients in f, Rᵀ g, and in u, -Aᵀ Rᵀ g, added to du."""
        zeros, ghosts = padding = self.geometry.restriction
        extended = _extended(du.shape[2:], padding)
        more = [
            n - (2 * m + 1 - 2 * z)
            for n, m, z in zip(extended, g.shape[2:], zeros, strict=True)
        ]  # fmt: skip
        df = self.convolve_transposed(g, R, stride=2, padding=zeros, output_padding=more)
        df = fold_ghosts(df, *ghosts)
        return df, self.stencil_adjoint(df, A).neg_().add_(du)

    def correct_adjoint(self, g: Tensor, P: Tensor) -> Tensor:
        """Of `correct`: the gradient in e, Pᵀ g. That in u is g."""
        cut, ghosts = self.geometry.prolongation
        g, _ = self._uncut(g)
        return fold_ghosts(self.convolve(g, P, stride=2, padding=cut), *ghosts)

    # ------------------------------------------------------------ gradients in weights

    def stencil_weight(self, u: Tensor, g: Tensor, W: Tensor) -> Tensor:
        """The gradient in W of W * u."""
        zeros, ghosts = self.geometry.stencil
        return self._weight(g, add_ghosts(u, *ghosts), W, stride=1, padding=zeros)

    def restrict_weight(self, r: Tensor, g: Tensor, R: Tensor) -> Tensor:
        """The gradient in R of R r."""
        zeros, ghosts = self.geometry.restriction
        return self._weight(g, add_ghosts(r, *ghosts), R, stride=2, padding=zeros)

    def correct_weight(self, e: Tensor, g: Tensor, P: Tensor) -> Tensor:
        """The gradient in P of P e."""
        cut, ghosts = self.geometry.prolongation
        g, more = self._uncut(g)
        e = add_ghosts(e, *ghosts)
        return self._weight(g, e, P, stride=2, padding=cut, transposed=True, output_padding=more)

    def _weight(
        self,
        g: Tensor,
        u: Tensor,
        W: Tensor,
        *,
        stride: int,
        padding: Sequence[int],
        transposed: bool = False,
        output_padding: Sequence[int] | None = None,
    ) -> Tensor:
        ones = self.geometry.ones
        strides, more = [stride] * len(ones), output_padding or [0] * len(ones)
        dW = torch.ops.aten.convolution_backward(
            g, u, W, None, strides, padding, ones, transposed, more, 1, [False, True, False]
        )
        return dW[1]

    def minus_sum(self, terms: Sequence[Tensor]) -> Tensor:
        """-Σ terms."""
        return torch.stack(list(terms)).sum(0).neg_() if len(terms) > 1 else -terms[0]

    # ---------------------------------------------------------- several steps in one call

    def whole(self, f: Tensor, levels: Sequence[Level]) -> tuple[Any, list[Any]] | None:
        """The result of `passes.forward`, if the form computes it in one call for these levels."""
        return None

    def whole_backward(
        self, g: Tensor, f: Tensor, kept: list[Any], levels: Sequence[Level]
    ) -> tuple[Any, list[Level]] | None:
        """The result of `passes.backward`, if `whole` computed these levels."""
        return None

    def _uncut(self, g: Tensor) -> tuple[Tensor, list[int]]:
        """g with a zero at each node that `reference.prolongation` computes and drops, and the
        output padding of its transposed convolution."""
        shape = g.shape[2:]
        cut, (modes, _, right) = self.geometry.prolongation
        added = [r * (m is not None) for r, m in zip(right, modes, strict=True)]
        coarse = [m + a for m, a in zip(self.geometry.coarse(shape), added, strict=True)]
        more = reference.missing_nodes(coarse, cut, shape)
        computed = [2 * m + 1 - 2 * c + e for m, c, e in zip(coarse, cut, more, strict=True)]
        pairs = zip(reversed(computed), reversed(shape), strict=True)
        width = [p for n, k in pairs for p in (0, n - k)]
        return (F.pad(g, width) if any(width) else g), more


def _extended(shape: Sequence[int], padding: Padding) -> list[int]:
    """The shape with the ghost nodes that are not zeros of the convolution."""
    added = zip(shape, *padding.ghosts, strict=True)
    return [n + (l + r) * (m is not None) for n, m, l, r in added]
