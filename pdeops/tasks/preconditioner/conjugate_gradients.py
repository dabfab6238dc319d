"""Objective of learned preconditioners: the convergence of CG, or the condition number."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...batch import Batch
from ...nearest import did_you_mean
from ...solvers.krylov.lanczos import LanczosMatrix
from .conjugate_direction import dot, error_and_couplings, times
from .products import product

# Axes: b batch, k steps of the method.
Map = Callable[[Tensor], Tensor]
_NOTHING = 1e-30  # smaller than all error norms in CG


class ConjugateGradients:
    """Mean over systems of the log condition number of M A, of the CG convergence rate, or of the
    Frobenius norm of M A - I.

    `measure` selects one of the three; M = model.at(operator) must be symmetric and positive
    definite. A batch holds systems A as `operator` and the initial errors e of CG as `target`; no
    solution is needed.

    Args:
        steps: number of CG steps.
        measure: a name in `MEASURES`.

    Raises:
        ValueError: `steps` is below 2, or the measure is unknown.
    """

    def __init__(self, *, steps: int = 8, measure: str = "condition") -> None:
        if steps < 2:
            raise ValueError(f"ConjugateGradients needs steps of 2 or more; got {steps}.")
        if measure not in MEASURES:
            raise ValueError(
                f"Unknown measure {measure!r}.{did_you_mean(measure, MEASURES)} Choose from "
                f"{', '.join(MEASURES)}."
            )
        self.steps, self.measure = steps, measure

    def __call__(self, model: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        return MEASURES[self.measure](*_system(model, batch), self.steps).mean()

    def walk(self, model: Any, batch: Batch) -> tuple[Float[Tensor, "k b"], Float[Tensor, "k b"]]:
        """log(|e'|_A / |e|_A) and |r'|² / |r|² for each step and system."""
        with torch.no_grad():
            rates, reductions, _ = _walk(*_system(model, batch), self.steps)
        return rates, reductions


def condition(A: Map, M: Map, e: Float[Tensor, "b *space"], steps: int) -> Float[Tensor, " b"]:
    """log(λ_max/λ_min) of M A. The Lanczos process in k steps of CG, without gradients, gives Ritz
    vectors v for the two ends of the spectrum. Their Rayleigh quotients ⟨Av, M A v⟩ / ⟨v, A v⟩ are
    differentiated; at an eigenvector, their gradient is that of the eigenvalue. Only two
    applications of M are differentiated, for any k."""
    with torch.no_grad():
        low, high = _ritz_vectors(A, M, e, steps)
    return _rayleigh(A, M, high).log() - _rayleigh(A, M, low).log()


def energy(A: Map, M: Map, e: Float[Tensor, "b *space"], steps: int) -> Float[Tensor, " b"]:
    """log(|e_k|_A / |e_0|_A) / k, differentiated through all k steps."""
    return _walk(A, M, e, steps)[0].mean(0)


def frobenius(A: Map, M: Map, e: Tensor, steps: int) -> Float[Tensor, " b"]:
    """log(|t M A e - e|² / |e|²), t minimising it. For e of white noise the quotient estimates
    |t M A - I|² / n in the Frobenius norm (Häusner et al. 2023 probe |L Lᵀ - A| in this way)."""
    image = M(A(e))
    along = dot(image, e).square() / dot(image, image).clamp(min=_NOTHING)
    return (1 - along / dot(e, e).clamp(min=_NOTHING)).clamp(min=_NOTHING).log()


MEASURES: dict[str, Callable[[Map, Map, Tensor, int], Tensor]] = {
    "condition": condition,
    "energy": energy,
    "frobenius": frobenius,
}


def _system(model: Any, batch: Batch) -> tuple[Map, Map, Tensor]:
    """A, M and the error."""
    e, operator = error_and_couplings(batch)
    correction = model.at(operator)
    return product(operator), lambda r: correction(r[:, None])[:, 0], e


def _walk(A: Map, M: Map, e: Tensor, steps: int) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """CG from the error e. Returns log(|e'|_A / |e|_A), |r'|² / |r|², and the triple α, β,
    z / ⟨r, z⟩^½, for each step."""
    r = A(e)
    z = M(r)
    p, rz, energy, size = z, dot(r, z), dot(e, r), dot(r, r)
    rates, reductions, alphas, betas, basis = [], [], [], [], []
    for _ in range(steps):
        basis.append(times(rz.clamp(min=_NOTHING).rsqrt(), z))
        Ap = A(p)
        alpha = rz / dot(p, Ap).clamp(min=_NOTHING)
        e, r = e - times(alpha, p), r - times(alpha, Ap)
        z = M(r)
        before, rz = rz, dot(r, z).clamp(min=0)
        beta = rz / before.clamp(min=_NOTHING)
        p = z + times(beta, p)
        left, rest = dot(e, r), dot(r, r)
        rates.append((left / energy.clamp(min=_NOTHING)).clamp(min=_NOTHING).log() / 2)
        reductions.append(rest / size.clamp(min=_NOTHING))
        alphas.append(alpha)
        betas.append(beta)
        energy, size = left, rest
    parts = torch.stack(alphas), torch.stack(betas), torch.stack(basis)
    return torch.stack(rates), torch.stack(reductions), parts


def _ritz_vectors(A: Map, M: Map, e: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Ritz vectors of the smallest and the largest Ritz value of M A, from the CG coefficients."""
    _, _, (alpha, beta, basis) = _walk(A, M, e, steps)
    _, vectors = LanczosMatrix.of_cg(alpha.clamp(min=_NOTHING), beta[:-1]).eigh()
    return (
        torch.einsum("bk,kb...->b...", vectors[..., 0], basis),
        torch.einsum("bk,kb...->b...", vectors[..., -1], basis),
    )


def _rayleigh(A: Map, M: Map, v: Tensor) -> Float[Tensor, " b"]:
    """⟨Av, M A v⟩ / ⟨v, A v⟩; 1 for v = 0, which occurs after convergence."""
    Av = A(v)
    size = dot(v, Av)
    return torch.where(size > _NOTHING, dot(Av, M(Av)) / size.clamp(min=_NOTHING), 1.0)
