"""The pointwise work of the 2D vorticity equation in plain torch: twin of `vorticity/cpu.py`.

    ω_t = -curl div(u ⊗ u) = -[(∂xx - ∂yy)(uv) + ∂xy(v² - u²)],   u = ψ_y, v = -ψ_x, -Δψ = ω,

so four real transforms are enough: the two velocity components to the nodes and two products back.
(The advective form u·∇ω needs five.) They are two complex transforms: z = u + iv holds the
velocity, and z² = -(v² - u²) + 2i uv holds both products.

Only waves with 3|k| < n are stored: those of x, -K..K, on the last axis, and those of y, 0..K. The
spectrum of z is stored at 0..2K of each axis instead of -K..K, a shift by K. The spectrum of z² is
then shifted by 2K: its waves -K..K lie at K..3K, contiguously, and waves that wrap around do not
reach them, as 4K - n < K.
"""
# Axes: b batch, l waves of y (0..K), m waves of y (-K..K), k waves of x (-K..K), p n places.

import torch
from torch import Tensor


def velocity(w: Tensor, per_x: Tensor, per_y: Tensor, out: Tensor) -> None:
    """out[b, m, :2K+1] = ẑ, of û = i ξ_y/|ξ|² ŵ and v̂ = -i ξ_x/|ξ|² ŵ; the rest is unchanged.

    w is (b, l, k), of a real field; per_x = ξ_x/|ξ|² and per_y = ξ_y/|ξ|² are (l, k).
    """
    factor = torch.complex(per_x, per_y)
    out[:, w.shape[1] - 1 :, : w.shape[2]] = factor * w
    out[:, : w.shape[1] - 1, : w.shape[2]] = (-factor * w.conj())[:, 1:].flip(1, 2)


def products(z: Tensor) -> None:
    """z becomes z², in place."""
    z.square_()


def turn(z: Tensor, first: int, count: int, out: Tensor) -> None:
    """out[b, j, i] = z[b, i, first + j], j < count; the rest of out is left as it is."""
    out[:, :count, : z.shape[1]] = z[..., first : first + count].transpose(-1, -2)


def tendency(square: Tensor, a: Tensor, c: Tensor, out: Tensor) -> None:
    """out = a (uv)^ + c (v² - u²)^ at the stored waves, with a = ξ_x² - ξ_y², c = ξ_x ξ_y.

    square is (b, m, p), the waves of z² from K of x on; out (b, l, k), a and c (l, k).
    """
    K, num_l = out.shape[2] // 2, out.shape[1]
    here = square[:, :, K : 3 * K + 1]
    opposite = here.flip(1, 2)[:, num_l - 1 :].conj()
    here = here[:, num_l - 1 :]
    out.copy_((here - opposite) * (-0.25j * a) - (here + opposite) * (0.5 * c))
