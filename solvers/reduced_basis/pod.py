"""Proper orthogonal decomposition of snapshots."""
# Axes: n snapshots, m nodes, r modes.

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class POD:
    """The affine space of dimension r that is closest to snapshots u_1, .., u_n:

        u ≈ mean + Σ_k c_k φ_k,    <φ_k, φ_l> = δ_kl,    <u, v> = Σ_i w_i u_i v_i.

    Of all spaces of dimension r it has the smallest mean square distance to the snapshots, which is
    Σ_(k > r) σ_k² / n with the singular values σ of the weighted snapshots (Eckart and Young 1936;
    Sirovich 1987).

    Attributes:
        mean: the origin; zero if the snapshots were not centred.
        modes: φ, in the order of their singular values.
        weights: w >= 0; modes also have values at nodes of weight zero.
        singular_values: all of them, also those of the modes left out.
    """

    mean: Float[Tensor, " m"]
    modes: Float[Tensor, "r m"]
    weights: Float[Tensor, " m"]
    singular_values: Float[Tensor, " k"]

    @classmethod
    def of(
        cls,
        snapshots: Float[Tensor, "n m"],
        weights: Float[Tensor, " m"] | None = None,
        *,
        centred: bool = True,
    ) -> "POD":
        """All modes of the snapshots, up to round-off.

        Raises:
            ValueError: there is no snapshot, or one is not finite.
        """
        if not len(snapshots) or not snapshots.isfinite().all():
            raise ValueError(
                f"A POD needs at least one snapshot, and finite values; got "
                f"{tuple(snapshots.shape)} with {int((~snapshots.isfinite()).sum())} values that "
                f"are not finite."
            )
        w = torch.ones_like(snapshots[0]) if weights is None else weights
        mean = snapshots.mean(0) if centred else torch.zeros_like(snapshots[0])
        u = snapshots - mean
        left, sigma, _ = torch.linalg.svd(u * w.sqrt(), full_matrices=False)
        kept = sigma > sigma.max() * max(u.shape) * torch.finfo(u.dtype).eps
        modes = (left[:, kept] / sigma[kept]).mT @ u
        return cls(mean, modes, w, sigma)

    @property
    def rank(self) -> int:
        """The number of modes r."""
        return len(self.modes)

    def truncated(self, rank: int) -> "POD":
        """The space of the first modes."""
        return POD(self.mean, self.modes[:rank], self.weights, self.singular_values)

    def to(self, dtype: torch.dtype) -> "POD":
        """The same space in another precision."""
        mean, modes, weights = (v.to(dtype) for v in (self.mean, self.modes, self.weights))
        return POD(mean, modes, weights, self.singular_values)

    def coefficients(self, u: Float[Tensor, "b m"]) -> Float[Tensor, "b r"]:
        """c of the closest element of the space to each u."""
        return ((u - self.mean) * self.weights) @ self.modes.mT

    def fields(self, c: Float[Tensor, "b r"]) -> Float[Tensor, "b m"]:
        """mean + Σ_k c_k φ_k; c may have fewer columns than there are modes."""
        return torch.addmm(self.mean, c, self.modes[: c.shape[1]])

    def rank_for(self, share: float) -> int:
        """The smallest number of modes with at least this share of Σ_k σ_k²."""
        energy = self.singular_values.square().cumsum(0)
        return int((energy < share * energy[-1]).sum()) + 1
