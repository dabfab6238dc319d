"""Removal of the mean of a field over each connected region of its nodes,

    (P u)_i = u_i - (1/|R|) Σ_{j in R} u_j    for a node i of a floating region R,

u_i for a node of another region, and 0 at a solid node. P is the orthogonal projection on the
fields that sum to zero over each floating region and vanish at solid nodes. `reference.py` is the
plain twin, `cpu.py` has both passes in one loop each.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..forms import Forms, is_compiled
from . import reference

FORMS = Forms(__name__, cpu="cpu")


class Projection:
    """P for one labelling of the nodes.

    Args:
        labels: 1 .. num_regions in the floating regions, 0 in others, -1 at solid nodes.
    """

    def __init__(self, labels: Int[Tensor, "*space"], num_regions: int) -> None:
        self.labels = labels
        sizes = torch.bincount(labels.flatten().clamp(min=0), minlength=num_regions + 1)
        weights = 1 / sizes.double()
        weights[0] = 0.0
        self.weights = weights  # 1/|R| per floating region, else 0
        # Arrays for the compiled loops.
        self._flat = labels.cpu().flatten().int().numpy()
        self._weights = weights.cpu().numpy()

    def __call__(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """P u; differentiable."""
        if self._has_loops(u):
            return self.into(u, torch.empty_like(u, memory_format=torch.contiguous_format))
        return reference.project(u, self.labels, self.weights)

    def into(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Float[Tensor, "*batch_space"]:
        """P u written to `out`, which is returned and may be u itself; no gradient."""
        u = u.detach()
        if not (self._has_loops(u) and out.dtype == u.dtype and out.is_contiguous()):
            return out.copy_(reference.project(u, self.labels, self.weights))
        loops, shape = FORMS.of(u), (-1, self.labels.numel())
        fields = zip(u.reshape(shape).numpy(), out.view(shape).numpy(), strict=True)
        for field, result in fields:
            loops.project(field, self._flat, self._weights, result)
        return out

    def means(
        self, u: Float[Tensor, "*batch_space"], w: Float[Tensor, "*space"] | None
    ) -> Float[Tensor, "*batch_space"]:
        """The mean of u, weighted by w, over each floating region, as a field; 0 elsewhere."""
        return reference.means(u, self.labels, self.weights, w)

    @staticmethod
    def _has_loops(u: Tensor) -> bool:
        return FORMS.serve(u) and is_compiled(u)
