"""Spectral convolution by truncated discrete Fourier transforms, written as matrix products.

The plain twin, which defines what is computed, is `spectral_conv/reference.py`. A transform of
which few modes are kept is a product with a short real matrix. A product of matrices runs at the
peak speed of the machine at every grid size, primes included, while an FFT computes all modes and
writes them to memory.

**Structure.** With the plain sums (A u)_k = Σ_x u(x) exp(-2πi k·x/L), as real pairs, the
convolution is

    v = Aᵀ D A u,    (D û)_k = c_k W_k û_k,

since Aᵀ sums the real parts of exp(2πi k·x/L) v̂_k over the kept modes. c_k is the product of the
remaining factors: 1/N, 2 for modes whose opposite is implied because u is real, and 2 for the modes
of `counts_twice`. So the adjoint in u is the same convolution with the matrices W_k^H, and the
gradient of W_k is c_k Σ_b conj(û_k) ĝ_k: A, Aᵀ and products of one matrix per mode are all that is
needed. Each of the three is a Function whose backward consists of differentiable operations, so
derivatives of every order exist.

**Layout.** Space before channels, (b, *space, c): each axis is one batched product. A field stored
with channels first is transformed along its last axis in place of storage; only the few remaining
modes are transposed.

The result is the only allocation of the size of the field. The same code runs on a GPU; float32
products must not be rounded to TF32 there (torch's default).
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from ..runtime.memory import empty, traced
from .reference import counts_twice, kept_modes, weights_of_kept_modes

# Axes: b batch, i and o channels in and out, k kept modes of all axes, r real and imaginary part.

Matrices = tuple[Tensor, ...]  # of A, one per axis

_CACHE: OrderedDict[tuple[Any, ...], Tensor] = OrderedDict()
_CACHED = 256


def _cached(key: tuple[Any, ...], build: Callable[[], np.ndarray]) -> Tensor:
    """A constant of the given dtype and device (the last two of the key), computed once.

    numpy computes it: a tensor made by torch would belong to the transform (vmap, grad, inference
    mode) under which the constant is first needed.
    """
    try:
        _CACHE.move_to_end(key)
        return _CACHE[key]
    except KeyError:
        pass
    dtype, device = key[-2:]
    with torch.inference_mode(False):
        made = torch.from_numpy(build().astype(str(dtype).removeprefix("torch."))).to(device)
    _CACHE[key] = made
    while len(_CACHE) > _CACHED:
        _CACHE.popitem(last=False)
    return made


def _matrix(n: int, k: range, last: bool) -> np.ndarray:
    """exp(-2πi k x/n) on real pairs: (r k) x (y) along the last axis, (r k) x (x r) along others.

    Along those axes real and imaginary part of the input alternate.
    """
    phase = 2 * math.pi / n * (np.outer(k, np.arange(n)) % n)
    cos, sin = np.cos(phase), np.sin(phase)
    if last:
        return np.concatenate([cos, -sin])
    pair = np.array([[cos, sin], [-sin, cos]])  # (r out, r in, k, x)
    return pair.transpose(0, 2, 3, 1).reshape(2 * len(k), 2 * n)


def _factors(shape: Sequence[int], n_modes: Sequence[int]) -> np.ndarray:
    """c_k, flat."""
    k_last = np.array(kept_modes(shape, n_modes)[-1])
    pairs = 1 + ((k_last != 0) & (2 * k_last != shape[-1]))
    return (pairs * (1 + counts_twice(shape, n_modes)) / math.prod(shape)).ravel()


def constants(
    shape: tuple[int, ...], n_modes: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Matrices, Tensor]:
    """The matrices of A and the factors c_k for a grid of this shape."""
    last = len(shape) - 1
    matrices = tuple(
        _cached(
            (n, k.start, k.stop, axis == last, dtype, device),
            partial(_matrix, n, k, axis == last),
        )
        for axis, (n, k) in enumerate(zip(shape, kept_modes(shape, n_modes), strict=True))
    )
    key = (shape, n_modes, dtype, device)
    return matrices, _cached(key, partial(_factors, shape, n_modes))


# The mark of `torch.compiler.assume_constant_result`, which would import torch._dynamo here: a
# compiled graph holds the constants and does not trace how they are made.
constants._dynamo_marked_constant = True  # type: ignore[attr-defined]


def analysis(u: Float[Tensor, "b *space c"], A: Matrices) -> Float[Tensor, "b two *modes c"]:
    """A u, from the last axis to the first; each leaves only its few kept modes."""
    if _channels_first(u) and len(A) > 1:
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
    v_hat: Float[Tensor, "b two *modes c"], A: Matrices, channels_first: bool
) -> Float[Tensor, "b *space c"]:
    """Aᵀ v_hat, from the first axis to the last."""
    h = synthesis_to_lines(v_hat, A)
    if channels_first:
        h = h.movedim(-1, 1).mT.contiguous()
        planes = h.view(-1, *h.shape[-2:]).mT
        v = _product(planes, each(A[-1], planes))
        return v.view(*h.shape[:-2], *v.shape[-2:]).movedim(1, -1)
    lines = h.view(-1, *h.shape[-2:])
    v = _product(each(A[-1].t(), lines), lines)
    return v.view(*h.shape[:-2], *v.shape[-2:])


def _product(a: Float[Tensor, "l n k"], b: Float[Tensor, "l k m"]) -> Float[Tensor, "l n m"]:
    if traced():
        return torch.bmm(a, b)
    return torch.bmm(a, b, out=empty((*a.shape[:2], b.shape[2]), a))


def each(matrix: Float[Tensor, "n k"], lines: Tensor) -> Float[Tensor, "l n k"]:
    """`matrix` repeated for each line."""
    return matrix.expand(len(lines), *matrix.shape)


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


def _channels_first(u: Tensor) -> bool:
    """Whether the last space axis, rather than the channels, is contiguous in memory."""
    return u.shape[-1] > 1 and u.stride(-1) != 1 and u.stride(-2) == 1


def _full_precision(g: Tensor) -> torch.autocast:
    """A context with the precision of the forward pass, also if backward is under autocast."""
    return torch.autocast(g.device.type, enabled=False)


class Analysis(Function):
    """u -> A u, (b, *space, c) -> (b, r, *modes, c)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, *A: Tensor) -> Tensor:
        return analysis(u, A)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, *A = inputs
        ctx.channels_first = _channels_first(u)
        ctx.save_for_backward(*A)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        A = ctx.saved_tensors
        with _full_precision(g):
            return synthesis(g, A, ctx.channels_first), *[None] * len(A)


class Synthesis(Function):
    """v̂ -> Aᵀ v̂, (b, r, *modes, c) -> (b, *space, c)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v_hat: Tensor, channels_first: bool, *A: Tensor) -> Tensor:
        return synthesis(v_hat, A, channels_first)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        A = ctx.saved_tensors
        with _full_precision(g):
            return analysis(g, A), None, *[None] * len(A)


def mix(
    u_hat: Float[Tensor, "b two k i"], W: Float[Tensor, "k i two o"], c: Float[Tensor, " k"]
) -> Float[Tensor, "b two k o"]:
    """c_k W_k û_k.

    One product of real matrices, [Re û; Im û] (2b x i) [Re W, Im W] (i x 2o); real and imaginary
    part of the result are sums of its blocks.
    """
    b, _, k, i = u_hat.shape
    products = torch.bmm(u_hat.reshape(2 * b, k, i).transpose(0, 1), W.flatten(2))
    (rr, ri), (ir, ii) = products.view(k, b, 2, 2, -1).permute(2, 3, 1, 0, 4)
    return torch.stack([rr - ii, ri + ir], dim=1).mul_(c[:, None])


def mix_gradients(g: Tensor, u_hat: Tensor, W: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `mix` in û and W: each one product with G = [[Re g, Im g], [Im g, -Re g]]."""
    b, _, k, i = u_hat.shape
    g = (g * c[:, None]).permute(2, 0, 1, 3)
    G = g.new_empty(k, b, 2, *g.shape[2:])
    G[:, :, 0] = g
    G[:, :, 1, 0] = g[:, :, 1]
    G[:, :, 1, 1] = -g[:, :, 0]
    G = G.view(k, 2 * b, -1)
    du_hat = torch.bmm(G, W.flatten(2).mT).view(k, b, 2, i).permute(1, 2, 0, 3)
    return du_hat, torch.bmm(u_hat.reshape(2 * b, k, i).permute(1, 2, 0), G).view_as(W)


class Mix(Function):
    """û, W, c -> c_k W_k û_k."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u_hat: Tensor, W: Tensor, c: Tensor) -> Tensor:
        return mix(u_hat, W, c)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        with _full_precision(g):
            return *mix_gradients(g, *ctx.saved_tensors), None


def convolve(
    u: Float[Tensor, "b *space i"],
    weight: Float[Tensor, "*modes i two o"],
    pointwise: tuple[Float[Tensor, "p o"], Float[Tensor, " p"]] | None = None,
) -> Float[Tensor, "b *space p"]:
    """Same as `spectral_conv.convolve`, with the memory layout of u (channels last or first).

    A pointwise map acts on the coefficients: M Σ_k v̂_k e_k + m = Σ_k M v̂_k e_k + m e_0.
    """
    shape = tuple(u.shape[1:-1])
    A, c = constants(shape, modes_of(weight), u.dtype, u.device)
    W = weights_of_kept_modes(weight, shape).flatten(0, -4)
    # No Function without gradients: torch.compile (2.13) then calls its forward wrongly.
    recorded = torch.is_grad_enabled()
    u_hat = Analysis.apply(u, *A) if recorded else analysis(u, A)
    modes = u_hat.flatten(2, -2)
    v_hat = Mix.apply(modes, W, c) if recorded else mix(modes, W, c)
    if pointwise is not None:
        M, m = pointwise
        v_hat = F.linear(v_hat, M)
        v_hat[:, 0, mode_zero(shape, weight)] += m
    v_hat = v_hat.view(*u_hat.shape[:-1], v_hat.shape[-1])
    first = _channels_first(u)
    return Synthesis.apply(v_hat, first, *A) if recorded else synthesis(v_hat, A, first)


def modes_of(weight: Float[Tensor, "*modes i two o"]) -> tuple[int, ...]:
    """n_modes, the argument of `SpectralConv`."""
    *first, last = weight.shape[:-3]
    return (*first, 2 * (last - 1))


def mode_zero(shape: Sequence[int], weight: Float[Tensor, "*modes i two o"]) -> int:
    """Position of k = 0 among the kept modes of all axes, in C order."""
    place = 0
    for k in kept_modes(shape, modes_of(weight)):
        place = place * len(k) + k.index(0)
    return place
