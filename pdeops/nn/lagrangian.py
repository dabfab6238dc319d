"""Transport equations along moving labels: residuals as pointwise functions of the jets of X and w.

    X_t = f₁(w, X, t),   w_t = f₂ Δ_x w + S(w, X, t)     for u_t + f₁·∇u = f₂ Δu + S,

with all derivatives on the left at fixed label ξ (Mojgani, Balajewicz and Hassanzadeh, CMAME 404,
2023). Δ_x is the Laplacian in positions; with F = ∂X/∂ξ, J = det F and A = (J F⁻¹)(J F⁻¹)ᵀ it is

    J³ Δ_x w = J ∇_ξ·(A ∇_ξ w) - ∇_ξ J · A ∇_ξ w,     in one dimension J w_ξξ - J_ξ w_ξ,

a polynomial in the derivatives. The residual of w is multiplied by J³ ("physical"), so that nothing
is divided by a small J; or it is not ("divided"), so that labels count as much where they gather.
"""
# Axes: d position, a b label, c channel, n points.

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.characteristics import adjugate, determinant
from .jets import Jet


def cleared_laplacian(X: Jet, w: Jet) -> Float[Tensor, "c n"]:
    """J³ Δ_x w."""
    F, H = X.gradient, X.hessian
    P = adjugate(F)  # J ∂ξ_a/∂x_i, indices a i
    # ∂_b P: the adjugate is linear in F in two dimensions, and constant in one.
    dP = torch.stack([adjugate(H[:, :, b]) for b in range(X.d)], -2)
    dP = dP if X.d == 2 else torch.zeros_like(dP)
    slopes = torch.einsum("ain,can->cin", P, w.gradient)  # J ∂w/∂x_i
    change = torch.einsum("aibn,can->cibn", dP, w.gradient)
    change = change + torch.einsum("ain,cabn->cibn", P, w.hessian)
    divergence = torch.einsum("bin,cibn->cn", P, change)  # uses Σ_b ∂_b P_bi = 0
    dJ = torch.einsum("ain,iabn->bn", P, H)
    return determinant(F) * divergence - torch.einsum("bn,bin,cin->cn", dJ, P, slopes)


def physical(X: Jet, w: Jet, f2: Tensor, source: Tensor) -> Float[Tensor, "c n"]:
    """J³ (w_t - S) - f₂ J³ Δ_x w."""
    return determinant(X.gradient) ** 3 * (w.dt - source) - f2 * cleared_laplacian(X, w)


def divided(X: Jet, w: Jet, f2: Tensor, source: Tensor) -> Float[Tensor, "c n"]:
    """w_t - S - f₂ Δ_x w; J must not be small. The factor J³ of `physical` makes the residual small
    where labels gather, so that least squares neglects the diffusion of a front."""
    return physical(X, w, f2, source) / determinant(X.gradient) ** 3


def label(X: Jet, w: Jet, f2: Tensor, source: Tensor) -> Float[Tensor, "c n"]:
    """w_t - S - f₂ Δ_ξ w, the published form, with diffusion in labels: another equation than the
    given one, unless f₂ = 0 or J = 1."""
    return w.dt - source - f2 * torch.einsum("caan->cn", w.hessian)


METRICS: dict[str, Callable[[Jet, Jet, Tensor, Tensor], Tensor]] = {
    "physical": physical,
    "divided": divided,
    "label": label,
}


def lagrangian_residual(
    equation: Any,
    X: Jet,
    w: Jet,
    t: Float[Tensor, " n"],
    metric: Callable[[Jet, Jet, Tensor, Tensor], Tensor] = physical,
) -> tuple[Float[Tensor, "d n"], Float[Tensor, "c n"]]:
    """The residuals of X and of w at labels and times with these jets; zero for a solution.

    Positions are wrapped to the box before f₁, f₂ and S are evaluated.
    """
    x = X.value.remainder(X.data.new_tensor(equation.grid.extent)[:, None])
    at = w.value[None], x[None], t[None, None]
    f1, f2, source = (
        term(*at)[0] for term in (equation.velocity_at, equation.diffusivity_at, equation.source_at)
    )
    return X.dt - f1, metric(X, w, f2, source)
