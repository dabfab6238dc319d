"""The connected regions of an operator's unknowns, and the constants in its kernel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...kernels.diffusion.reference import along
from ...kernels.regions import Projection


@dataclass(frozen=True)
class Regions:
    """Connected components of the unknowns, and the kernel of A.

    A floating region is a component with neither a Dirichlet end nor a reaction: the field that is
    1 on it and 0 elsewhere is in the kernel. So is the unit field of each solid node.

    Attributes:
        shape: of the unknowns.
        num_floating: number of floating regions.
        labels: 1 .. num_floating in the floating regions, 0 in the others, -1 at solid nodes; None
            if one region fills the box.
    """

    shape: tuple[int, ...]
    num_floating: int
    labels: Int[Tensor, "*space"] | None = None

    @classmethod
    def whole(cls, shape: tuple[int, ...], definite: bool) -> "Regions":
        """One region that fills the box; it floats unless A is definite."""
        return cls(shape, 0 if definite else 1)

    @classmethod
    def connected(
        cls,
        fluid: Bool[Tensor, "*space"],
        faces: Sequence[Tensor],
        excess: Tensor | None,
        periodic: Sequence[bool],
    ) -> "Regions":
        """The regions that couplings at the faces connect (`kernels/diffusion/reference.py`)."""
        import numpy as np
        import scipy.sparse
        from scipy.sparse.csgraph import connected_components

        index = torch.arange(fluid.numel()).reshape(fluid.shape)
        ndim = fluid.ndim
        held = torch.zeros(fluid.shape, dtype=torch.bool) if excess is None else excess.cpu() > 0
        pairs = []
        for axis, c in enumerate(faces):
            c, n = c.detach().cpu(), fluid.shape[axis]
            open_ = along(c, axis, ndim, 1, n - 1) > 0
            first, second = (along(index, axis, ndim, i, n - 1) for i in (0, 1))
            pairs.append(torch.stack((first[open_], second[open_])))
            low, high = (along(index, axis, ndim, i, 1) for i in (0, n - 1))
            at_low, at_high = (along(c, axis, ndim, i, 1) > 0 for i in (0, n))
            if periodic[axis]:
                pairs.append(torch.stack((high[at_low], low[at_low])))
            else:
                held.view(-1)[low[at_low]] = True
                held.view(-1)[high[at_high]] = True
        i, j = torch.cat(pairs, dim=1).numpy()
        graph = scipy.sparse.coo_array((np.ones(len(i)), (i, j)), shape=(fluid.numel(),) * 2)
        _, component = connected_components(graph, directed=False)
        component = torch.from_numpy(component.astype(np.int64))
        wet = fluid.cpu().flatten()
        floats = torch.zeros(int(component.max()) + 1, dtype=torch.bool)
        floats[component[wet]] = True
        floats[component[held.flatten() & wet]] = False
        number = torch.where(floats, floats.cumsum(0), 0)
        labels = torch.where(wet, number[component], -1).reshape(fluid.shape).to(fluid.device)
        return cls(tuple(fluid.shape), int(floats.sum()), labels)

    @property
    def full_rank(self) -> bool:
        """Whether A is regular, that is, has neither floating regions nor solid nodes."""
        return self.num_floating == 0 and (self.labels is None or bool((self.labels >= 0).all()))

    def means(
        self, u: Float[Tensor, "*batch_space"], weights: Float[Tensor, "*space"] | None = None
    ) -> Float[Tensor, "*batch_space"]:
        """The weighted mean of u over each floating region, as a field; 0 in the others and at
        solid nodes."""
        if self.num_floating == 0:
            return torch.zeros_like(u)
        if self._projection is not None:
            return self._projection.means(u, weights)
        ndim = len(self.shape)
        if weights is None:
            return u.mean(tuple(range(-ndim, 0)), keepdim=True).expand_as(u)
        w = weights.to(u)
        means = (u * w).flatten(-ndim).sum(-1) / w.sum()
        return means[(..., *(None,) * ndim)].expand_as(u)

    def project(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """The part of u orthogonal to the kernel: u minus its mean over each floating region, and
        zero at solid nodes."""
        if self._projection is not None:
            return self._projection(u)
        return u - self.means(u) if self.num_floating else u

    def project_into(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Float[Tensor, "*batch_space"]:
        """`project(u)` written to `out`, which is returned and may be u itself; no gradients."""
        if self._projection is not None:
            return self._projection.into(u, out)
        if self.num_floating == 0:
            return out.copy_(u)
        u = u.detach()
        return torch.sub(u, u.mean(tuple(range(-len(self.shape), 0)), keepdim=True), out=out)

    @cached_property
    def _projection(self) -> Projection | None:
        return None if self.labels is None else Projection(self.labels, self.num_floating)

    def __str__(self) -> str:
        if self.labels is None:
            return "one region, floating" if self.num_floating else "one region"
        solid = int((self.labels < 0).sum())
        return f"{self.num_floating} floating regions, {solid} of {math.prod(self.shape)} solid"
