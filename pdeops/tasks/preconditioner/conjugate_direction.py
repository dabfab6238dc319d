"""Objective of networks that propose search directions: the error reduction of each step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...batch import Batch
from ...kernels.diffusion.reference import apply
from ...nearest import did_you_mean

# Axes: b batch, k steps of the method.

# The loss of a batch, from the two results of `ConjugateDirection.walk`.
MEASURES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "energy": lambda rates, reductions: rates.exp().mean(),
    "log_energy": lambda rates, reductions: rates.mean(),
    "residual": lambda rates, reductions: reductions.mean(),
}


class ConjugateDirection:
    """Mean over systems and over the first `steps` of `solvers.deep_conjugate_direction`.

    A batch holds systems A as `operator` and errors e as `target`. A step is r = A e, z = f(r/|r|)
    made A-orthogonal to the last direction, e ← e - α z. The model is thus trained on the errors of
    the data and on those that remain after its own steps. No gradient flows from a step to the
    next. The loss of a step, with α = ⟨z, r⟩ / ⟨z, A z⟩, is one of

    - energy: |e - α z|_A / |e|_A, the quantity that the method minimises. It needs e, which is
      known if b is computed from it;
    - log_energy: its logarithm, the rate of convergence. Easy and hard systems have equal weight;
    - residual: |r - α A z|² / |r|², as published (Kaneda et al. 2023). It needs only r.

    All are invariant to the scale and sign of z and to its component in the kernel of A.
    `model.at(faces)` returns a map of residuals (b, 1, *space) to directions.

    Args:
        steps: number of steps; with 1 the model is trained only on the errors of the data.
        measure: a name in `MEASURES`.

    Raises:
        ValueError: `steps` is below 1, or the measure is unknown.
    """

    def __init__(self, *, steps: int = 4, measure: str = "energy") -> None:
        if steps < 1:
            raise ValueError(f"ConjugateDirection needs steps of 1 or more; got {steps}.")
        if measure not in MEASURES:
            raise ValueError(
                f"ConjugateDirection has no measure {measure!r}; choose from "
                f"{', '.join(MEASURES)}.{did_you_mean(measure, MEASURES)}"
            )
        self.steps, self.measure = steps, measure

    def __call__(self, model: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        return MEASURES[self.measure](*self.walk(model, batch))

    def walk(self, model: Any, batch: Batch) -> tuple[Float[Tensor, "k b"], Float[Tensor, "k b"]]:
        """log(|e - α z|_A / |e|_A) and |r - α A z|² / |r|² for each step and system."""
        e, faces = error_and_couplings(batch)
        closed = (False,) * len(faces)
        direction = model.at(faces)
        rates, reductions = [], []
        p = Ap = None
        for _ in range(self.steps):
            r = apply(e, faces, None, closed)
            size = dot(r, r).sqrt()
            solved = size == 0
            size = torch.where(solved, 1.0, size)
            e, r = times(1 / size, e), times(1 / size, r)
            z = direction(r[:, None])[:, 0]
            Az = apply(z, faces, None, closed)
            if p is not None and Ap is not None:
                beta = dot(z, Ap) / dot(p, Ap).clamp(min=1e-30)
                z, Az = z - times(beta, p), Az - times(beta, Ap)
            energy, along = dot(z, Az).clamp(min=1e-30), dot(z, r)
            left = 1 - along.square() / (energy * dot(e, r)).clamp(min=1e-30)
            # Ratios below 1e-9 are round-off in single precision.
            rates.append(torch.where(solved, 1e-9, left.clamp(min=1e-9)).log() / 2)
            alpha = along / energy
            rest = r - times(alpha, Az)
            reductions.append(dot(rest, rest))
            p, Ap = z.detach(), Az.detach()
            e = (e - times(alpha.detach(), p)).detach()
        return torch.stack(rates), torch.stack(reductions)


def error_and_couplings(batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The errors e and the couplings of the systems of a batch."""
    return batch.target, batch.operator


def dot(u: Tensor, v: Tensor) -> Float[Tensor, " b"]:
    """⟨u, v⟩ of each sample."""
    return (u * v).flatten(1).sum(1)


def times(a: Tensor, u: Tensor) -> Tensor:
    """a u, with one factor a per sample."""
    return a.reshape(-1, *(1,) * (u.ndim - 1)) * u
