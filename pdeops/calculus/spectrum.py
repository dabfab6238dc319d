"""Spectra of fields: their mean square by shells of waves."""
# Axes: *batch leading axes, *space nodes, k shells.

from typing import Any

from jaxtyping import Float
from torch import Tensor

from . import calculus_of


def shell_spectrum(
    u: Float[Tensor, "*batch_space"], domain: Any, *, order: int | float = 0
) -> Float[Tensor, "*batch k"]:
    """Half the mean square of each field in the waves with k - 1/2 <= |k| < k + 1/2, k = 0, 1, ..:

        S_k = 1/(2|Ω|) Σ_shell W λ^order |û|²,   Σ_k S_k = 1/(2|Ω|) ∫ |(-Δ)^(order/2) u|²,

    by Parseval's equation, exactly, for every field on the nodes. |k| is `Calculus.wave_number`:
    the length of the integer vector of waves per side on a box, the degree on a sphere. For the
    vorticity of a 2D flow, order 0 gives the enstrophy spectrum and order -1 the spectrum of the
    kinetic energy. A negative order omits the constant wave. Computed in float64.
    """
    calculus = calculus_of(domain)
    weights = calculus.parseval_weights * calculus.sobolev_multiplier(order, 0.0).square()
    power = calculus.transform(u.double()).abs().square() * weights.to(u.device)
    shell = (calculus.wave_number + 0.5).floor().long().flatten().to(u.device)
    parts = power.new_zeros(*u.shape[: -domain.ndim], int(shell.max()) + 1)
    parts.index_add_(-1, shell, power.flatten(-calculus.wave_number.ndim))
    return parts / (2 * domain.volume)
