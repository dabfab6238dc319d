"""The parts of a spectral convolution, A, Aᵀ and D of `matrices.py`, as products of matrices.

The plain twin, which defines what is computed, is `spectral_conv/reference.py`. A transform of
which few modes are kept is a product with a short real matrix. A product of matrices runs at the
peak speed of the machine at every grid size, primes included, while an FFT computes all modes and
writes them to memory.

**Layout.** Space before channels, (b, *space, c): each axis is one batched product. A field stored
with channels first is transformed along its last axis in place of storage; only the few remaining
modes are transposed.

The result is the only allocation of the size of the field. All operations are torch's and can be
differentiated, so this form also serves other devices, where `gpu.py` does not; float32 products
must not be rounded to TF32 there (torch's default).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..runtime.memory import empty, traced
from .matrices import Matrices

# Axes: b batch, i and o channels in and out, k kept modes of all axes, r real and imaginary part.


def analysis(u: Float[Tensor, "b *space c"], A: Matrices) -> Float[Tensor, "b two *modes c"]:
    """A u, from the last axis to the first; each leaves only its few kept modes."""
    u = u.to(A[-1].dtype)
    if channels_first_in_memory(u) and len(A) > 1:
        planes = u.movedim(-1, 1)  # the last two axes of space, transposed in the product
        h = torch.matmul(A[-1], planes.reshape(-1, *planes.shape[-2:]).mT)
        h = h.view(*planes.shape[:-2], *h.shape[-2:]).mT.movedim(1, -1)
    else:
        h = torch.matmul(A[-1], u.reshape(-1, *u.shape[-2:]))
    return analysis_of_lines(h.reshape(*u.shape[:-2], -1, u.shape[-1]), A)


def analysis_of_lines(
    h: Float[Tensor, "b *space rk c"], A: Matrices
) -> Float[Tensor, "b two *modes c"]:
    """A u from h, in which the last axis is already transformed."""
    b, *space, _, c = h.shape
    modes = [m.shape[0] // 2 for m in A]
    for axis in reversed(range(len(A) - 1)):
        inner = math.prod(modes[axis + 1 :]) * c
        h = torch.matmul(A[axis], h.reshape(-1, 2 * space[axis], inner))
    return h.reshape(b, 2, *modes, c)


def synthesis(
    v_hat: Float[Tensor, "b two *modes c"], A: Matrices, channels_first: bool, dtype: torch.dtype
) -> Float[Tensor, "b *space c"]:
    """Aᵀ v_hat in a dtype, from the first axis to the last.

    Args:
        channels_first: the layout of the result in memory.
    """
    h = synthesis_to_lines(v_hat, A)
    if channels_first:
        h = h.movedim(-1, 1).mT.contiguous()
        planes = h.view(-1, *h.shape[-2:]).mT
        v = _product(planes, each(A[-1], planes))
        return v.view(*h.shape[:-2], *v.shape[-2:]).movedim(1, -1).to(dtype)
    lines = h.view(-1, *h.shape[-2:])
    v = _product(each(A[-1].t(), lines), lines)
    return v.view(*h.shape[:-2], *v.shape[-2:]).to(dtype)


def _product(a: Float[Tensor, "l n k"], b: Float[Tensor, "l k m"]) -> Float[Tensor, "l n m"]:
    if traced():
        return torch.bmm(a, b)
    return torch.bmm(a, b, out=empty((*a.shape[:2], b.shape[2]), a))


def each(matrix: Float[Tensor, "n k"], lines: Tensor) -> Float[Tensor, "l n k"]:
    """`matrix` repeated for each line."""
    return matrix.expand(lines.shape[0], *matrix.shape)


def synthesis_to_lines(
    v_hat: Float[Tensor, "b two *modes c"], A: Matrices
) -> Float[Tensor, "b *space rk c"]:
    """Aᵀ v_hat without the transform of the last axis."""
    b, _, *modes, c = v_hat.shape
    h = v_hat
    for axis, n_modes in enumerate(modes[:-1]):
        inner = math.prod(modes[axis + 1 :]) * c
        h = torch.matmul(A[axis].t(), h.reshape(-1, 2 * n_modes, inner))
    return h.reshape(b, *(m.shape[1] // 2 for m in A[:-1]), 2 * modes[-1], c)


def channels_first_in_memory(u: Tensor) -> bool:
    """Whether the last space axis, rather than the channels, is contiguous in memory."""
    return u.shape[-1] > 1 and u.stride(-1) != 1 and u.stride(-2) == 1


def mix(
    u_hat: Float[Tensor, "b two k i"], W: Float[Tensor, "k i two o"], c: Float[Tensor, " k"]
) -> Float[Tensor, "b two k o"]:
    """c_k W_k û_k.

    One product of real matrices, [Re û; Im û] (2b x i) [Re W, Im W] (i x 2o); real and imaginary
    part of the result are sums of its blocks.
    """
    (b, _, k, i), o = u_hat.shape, W.shape[-1]
    products = torch.bmm(u_hat.reshape(2 * b, k, i).transpose(0, 1), W.flatten(2))
    (rr, ri), (ir, ii) = products.view(k, b, 2, 2, o).permute(2, 3, 1, 0, 4)
    return torch.stack([rr - ii, ri + ir], dim=1).mul_(c[:, None])


def mix_gradients(g: Tensor, u_hat: Tensor, W: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `mix` in û and W: each one product with G = [[Re g, Im g], [Im g, -Re g]]."""
    b, _, k, i = u_hat.shape
    g = (g * c[:, None]).permute(2, 0, 1, 3)
    G = g.new_empty(k, b, 2, *g.shape[2:])
    G[:, :, 0] = g
    G[:, :, 1, 0] = g[:, :, 1]
    G[:, :, 1, 1] = -g[:, :, 0]
    G = G.view(k, 2 * b, 2 * g.shape[-1])
    du_hat = torch.bmm(G, W.flatten(2).mT).view(k, b, 2, i).permute(1, 2, 0, 3)
    return du_hat, torch.bmm(u_hat.reshape(2 * b, k, i).permute(1, 2, 0), G).view_as(W)
