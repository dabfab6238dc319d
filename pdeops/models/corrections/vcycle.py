"""Multigrid with a learned, sparsified coarse operator, as a preconditioner for CG."""
# Axes: b systems, f features of a node, k shares; per axis, nodes 0 .. n + 1 and the cells between.

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...kernels.blackbox import layout, prefers_polynomials, reference
from ...kernels.blackbox.sparsify import Stencil, receivers
from ...nn.convolution import CHANNELS_LAST, CONV

if TYPE_CHECKING:
    from ...solvers.multigrid.multigrid import Multigrid
    from ...solvers.operators.diffusion import Diffusion

_WEAK = 1e-6  # relative to the diagonal; smaller couplings count as zero
_SMALL = 2**16  # in training, the coarsest level is dense with up to 15 x 15 unknowns
_REACH = 3.0  # the network changes a share by a factor of at most e^±3


class VCyclePreconditioner(nn.Module):
    """Operator A -> M ≈ A⁻¹: black-box multigrid whose first coarse operator has 5 or 7 points.

    Interpolation and Pᵀ A P are those of Dendy (1982); the smoother is multicolour Gauss-Seidel, in
    reverse order after the correction. The first coarse level takes a third of the time of a cycle
    in 2D. There, of the 9 or 27 points of Pᵀ A P only those along the axes are kept. The coupling c
    of two nodes across a cell is distributed to the edges of the cell, in shares
    (`kernels/blackbox/sparsify.py`). The classical shares are equal; here they are multiplied by
    exp(3 tanh(z/3)), z = net(log(c/d)). The inputs c/d are the couplings of the surrounding nodes
    relative to their diagonals d, and hence independent of h and of the scale of the coefficient.
    Five points take half the time of nine. With equal shares, CG needs more iterations where a
    jumps; the network learns shares that avoid them.

    Couplings are >= 0 for all weights of the network. Each level is therefore symmetric and
    positive definite, and M is linear, symmetric and positive definite. The untrained network (its
    last layer is zero) gives equal shares. Set-up costs Pᵀ A P and one pass over the coarse cells.

    Args:
        ndim: number of axes, 2 or 3.
        hidden_channels: width of the network.
        n_layers: number of 3^d convolutions; the network sees as many cells in each direction.

    Raises:
        ValueError: ndim is not 2 or 3, or a number is below 1.
    """

    def __init__(self, ndim: int, *, hidden_channels: int = 16, n_layers: int = 1) -> None:
        super().__init__()
        if ndim not in (2, 3):
            raise ValueError(f"A learned V-cycle is for 2 or 3 axes; got ndim = {ndim}.")
        if min(hidden_channels, n_layers) < 1:
            raise ValueError(
                f"hidden_channels and n_layers must be 1 or more; got {hidden_channels}, "
                f"{n_layers}."
            )
        self.ndim = ndim
        self.arguments: dict[str, Any] = {"hidden_channels": hidden_channels, "n_layers": n_layers}
        self._neighbours = [o for o in product((-1, 0, 1), repeat=ndim) if any(o)]
        conv = CONV[ndim]
        self.lift = conv(len(self._neighbours), hidden_channels, 2)  # nodes to cells
        self.layers = nn.ModuleList(
            conv(hidden_channels, hidden_channels, 3, padding=1) for _ in range(n_layers)
        )
        self.head = conv(hidden_channels, len(receivers(ndim)), 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.to(memory_format=CHANNELS_LAST[ndim])  # type: ignore[call-overload]

    def forward(
        self, r: Float[Tensor, "b 1 *space"], faces: Sequence[Tensor]
    ) -> Float[Tensor, "b 1 *space"]:
        return self.at(faces)(r)

    def at(self, faces: Sequence[Float[Tensor, "..."]]) -> Callable[[Tensor], Tensor]:
        """The map r -> M r for systems with these couplings.

        `kernels/diffusion/reference.py` defines the couplings. The map is differentiable, in plain
        torch, and computed in their dtype.
        """
        n = [k - (a == 0) for a, k in enumerate(faces[0].shape[-self.ndim :])]
        missing = 3 - self.ndim
        strength = [f.mean().item() for f in faces]
        table, _, _ = layout.layout(
            [0] * missing + n, [False] * 3, [0.0] * missing + strength, False, direct=_SMALL
        )
        coarsened = layout.coarsened(table, self.ndim)
        closed = (False,) * self.ndim
        levels = reference.build_levels(faces, None, closed, coarsened, True, self.shares)
        steps = layout.schedule(len(levels), "V").tolist()

        def correction(r: Tensor) -> Tensor:
            return reference.apply_cycle(r[:, 0].to(faces[0]), levels, steps)[:, None].to(r)

        return correction

    @torch.no_grad()
    def on(self, A: "Diffusion") -> "Multigrid":
        """M for one operator, by compiled loops on the CPU or kernels on a GPU, where it smooths by
        Chebyshev's iteration, as in `cg(A, b, M=model.on(A))`.

        M is computed in the dtype of the weights (float32 as trained) if A is definite in it, else
        in that of A. CG in float64 takes the same number of iterations with either.

        Raises:
            ValueError: A is not a `Diffusion`, has another number of axes, or periodic axes.
        """
        from ...solvers.multigrid.multigrid import Multigrid
        from ...solvers.multigrid.smoothers import Chebyshev, GaussSeidel
        from ...solvers.operators.diffusion import Diffusion

        if not isinstance(A, Diffusion) or A.grid.ndim != self.ndim:
            raise ValueError(
                f"This cycle reads the couplings of a Diffusion operator on {self.ndim} axes; got "
                f"{A!r}. For a matrix take `recognise(matrix).operator`."
            )
        points = Chebyshev() if prefers_polynomials(A.device) else GaussSeidel()
        learned = partial(Multigrid, shares=self.shares, smoother=points)
        with suppress(ValueError):  # jumps too large for the dtype of the weights
            return learned(A.to(self.lift.weight.dtype))
        return learned(A)

    def shares(self, stencil: Stencil) -> Float[Tensor, "..."]:
        """The factors of equal shares (`kernels.blackbox.sparsify.Shares`) on one level."""
        z = self.lift(self._features(stencil))
        for layer in self.layers:
            z = layer(F.relu(z, inplace=True))
        z = self.head(F.relu(z, inplace=True))
        like = next(iter(stencil.edges.values()))
        factors = torch.exp(_REACH * torch.tanh(z / _REACH)).to(like)
        return factors.reshape(*like.shape[: -self.ndim], *factors.shape[1:])

    def _features(self, stencil: Stencil) -> Float[Tensor, "b f *nodes"]:
        """log(c/d) at the nodes 0 .. n + 1; the interval from 1e-6 to 1 is scaled to -1 .. 1.

        Known nodes beyond the sides have -1.
        """
        c = [stencil.at_unknowns(o) for o in self._neighbours]
        total = sum(c[1:], c[0])
        inverse = 1 / torch.where(total > 0, total, 1)
        batch = c[0].shape[: -self.ndim].numel()
        nodes = [n + 2 for n in stencil.n]
        # Channels last, filled one by one: fewer passes over memory than whole-tensor operations.
        like = self.lift.weight
        x = like.new_full((batch, *nodes, len(c)), _WEAK).movedim(-1, 1)
        unknowns: Any = (slice(None), slice(None), *(slice(1, n + 1) for n in stencil.n))
        for channel, coupling in zip(x[unknowns].unbind(1), c, strict=True):
            channel.copy_((coupling * inverse).reshape(channel.shape))
        return x.clamp_(min=_WEAK).log_().mul_(-2 / math.log(_WEAK)).add_(1)
