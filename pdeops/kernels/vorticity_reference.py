"""The pointwise work of 2D vorticity in waves, in plain torch: the twin of `vorticity.py`.

    ω_t = -curl div(u ⊗ u) = -[(∂xx - ∂yy)(uv) + ∂xy(v² - u²)],   u = ψ_y, v = -ψ_x, -Δψ = ω,

so two inverse transforms (u, v) and two forward ones (uv, v² - u²) are enough; u·∇ω by its parts
takes five. Only waves with 3|k| < n are stored, those of x last, where the complex transform acts.
"""
# Axes: b batch, l waves of y (0..K), k waves of x (0..K, -K..-1), p the same padded to n places,
# x y nodes. The leading axis of two is that of (u, v) or of (uv, v² - u²).

import torch
from torch import Tensor


def velocity(w: Tensor, per_x: Tensor, per_y: Tensor, out: Tensor) -> None:
    """out[:, b, l, p] = (i ξ_y/|ξ|² w, -i ξ_x/|ξ|² w); what lies between is left as it is.

    w is (b, l, k); per_x = ξ_x/|ξ|² and per_y = ξ_y/|ξ|² are (l, k).
    """
    K = w.shape[-1] // 2
    uv = torch.stack([w * (1j * per_y), w * (-1j * per_x)])
    out[..., : K + 1] = uv[..., : K + 1]
    out[..., out.shape[-1] - K :] = uv[..., K + 1 :]


def products(uv: Tensor) -> None:
    """(u, v) becomes (uv, v² - u²), in place."""
    u, v = uv
    uv[0], uv[1] = u * v, (v - u) * (v + u)


def tendency(hat: Tensor, a: Tensor, c: Tensor, out: Tensor) -> None:
    """out = a (uv)^ + c (v² - u²)^ at the stored waves, with a = ξ_x² - ξ_y², c = ξ_x ξ_y.

    hat is (2, b, l, p), out (b, l, k), a and c (l, k).
    """
    K = out.shape[-1] // 2
    p, q = torch.cat([hat[..., : K + 1], hat[..., hat.shape[-1] - K :]], -1)
    torch.mul(p, a, out=out).addcmul_(q, c.to(q.dtype))
