"""The connected regions of an operator's unknowns, and the constants in its kernel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...kernels.recognition import components
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
        open_ = [c.detach().cpu() > 0 for c in faces]
        wet = fluid.cpu()
        held = torch.zeros_like(wet) if excess is None else excess.detach().cpu() > 0
        if bool(wet.all()) and all(
            bool(o.narrow(a, 0, n).all() if periodic[a] else o.narrow(a, 1, n - 1).all())
            for a, (o, n) in enumerate(zip(open_, fluid.shape, strict=True))
        ):
            at_ends = (
                bool(o.select(a, i).any())
                for a, o in enumerate(open_)
                for i in (0, -1)
                if not periodic[a]
            )
            return cls.whole(tuple(fluid.shape), any(at_ends) or bool(held.any()))
        labels, number = components([o.numpy() for o in open_], periodic, wet.numpy(), held.numpy())
        return cls(tuple(fluid.shape), number, torch.from_numpy(labels).to(fluid.device))

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
