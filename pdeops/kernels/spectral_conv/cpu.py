"""Spectral convolution by truncated discrete Fourier transforms, written as matrix products.

The plain twin, which says what is computed, is `spectral_conv/reference.py`; the tests compare the
two. Here: a transform of which few modes are kept is a product with a short real matrix, and a
product of matrices runs at the speed of the machine at every grid size, primes included, while an
FFT computes all modes and writes them to memory.

**Structure.** With the plain sums (A u)_k = Σ_x u(x) exp(-2πi k·x/L), as real pairs, the
convolution is

    v = Aᵀ D A u,    (D û)_k = c_k W_k û_k,

since Aᵀ sums real parts of exp(2πi k·x/L) v̂_k over the kept modes. c_k holds what else there is:
1/N, the 2 for modes whose opposite follows from u being real, and the 2 of `counts_twice`. So the
adjoint in u is the same convolution with the transposed matrices W_k^H, and the gradient of W_k is
c_k Σ_b conj(û_k) ĝ_k: everything is made of A, Aᵀ and products of one matrix per mode. Each is a
Function with a backward of differentiable operations, so derivatives of every order exist.

**Layout.** Space before channels: (b, *space, c), then each axis is one batched product. Fields
stored with channels first are transformed along their last axis where they lie, and only the few
modes that are left change places.

Nothing of the size of the field is made but the result. On a GPU the same code runs; float32
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
from . import reference as spectral_conv_reference
from .reference import counts_twice, kept_modes, weights_of_kept_modes

# Axes: b batch, i and o channels in and out, k kept modes of all axes, r real and imaginary part.

Matrices = tuple[Tensor, ...]  # of A, one per axis

_CACHE: OrderedDict[tuple[Any, ...], Tensor] = OrderedDict()
_CACHED = 256


def _cached(key: tuple[Any, ...], build: Callable[[], np.ndarray]) -> Tensor:
    """A constant of the given dtype and device (the last two of the key), made once.

    By numpy, since torch's operations would give tensors that belong to the transform (vmap, grad,
    inference mode) under which the constant happens to be needed first.
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

    There real and imaginary part of the input lie beside each other.
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


@torch._dynamo.assume_constant_result
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


def analysis(u: Float[Tensor, "b *space c"], A: Matrices) -> Float[Tensor, "b two *modes c"]:
    """A u. The axes go from last to first; the modes that each leaves are few."""
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
    """A, from where the last axis is transformed."""
    b, *space, _, c = h.shape
    modes = [m.shape[0] // 2 for m in A]
    for axis in reversed(range(len(A) - 1)):
        inner = math.prod(modes[axis + 1 :]) * c
        h = torch.matmul(A[axis], h.reshape(-1, 2 * space[axis], inner))
    return h.reshape(b, 2, *modes, c)


def synthesis(
    v_hat: Float[Tensor, "b two *modes c"], A: Matrices, channels_first: bool
) -> Float[Tensor, "b *space c"]:
    """Aᵀ v_hat, the axes from first to last."""
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
    """The same matrix for each line."""
    return matrix.expand(len(lines), *matrix.shape)


def synthesis_to_lines(
    v_hat: Float[Tensor, "b two *modes c"], A: Matrices
) -> Float[Tensor, "b *space rk c"]:
    """Aᵀ v_hat but for the last axis."""
    b, _, *modes, c = v_hat.shape
    h = v_hat
    for axis, n_modes in enumerate(modes[:-1]):
        inner = math.prod(modes[axis + 1 :]) * c
        h = torch.matmul(A[axis].t(), h.reshape(-1, 2 * n_modes, inner))
    return h.reshape(b, *(m.shape[1] // 2 for m in A[:-1]), 2 * modes[-1], c)


def _channels_first(u: Tensor) -> bool:
    """Whether the last space axis, rather than the channels, is contiguous in memory."""
    return u.shape[-1] > 1 and u.stride(-1) != 1 and u.stride(-2) == 1


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
        return analysis(g, A), None, *[None] * len(A)


def mix(
    u_hat: Float[Tensor, "b two k i"], W: Float[Tensor, "k i two o"], c: Float[Tensor, " k"]
) -> Float[Tensor, "b two k o"]:
    """c_k W_k û_k.

    One product of real matrices, [Re û; Im û] (2b x i) [Re W, Im W] (i x 2o), of which real and
    imaginary part of the result are sums.
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
        return *mix_gradients(g, *ctx.saved_tensors), None


def convolve(
    u: Float[Tensor, "b *space i"],
    weight: Float[Tensor, "*modes i two o"],
    pointwise: tuple[Float[Tensor, "p o"], Float[Tensor, " p"]] | None = None,
) -> Float[Tensor, "b *space p"]:
    """The spectral convolution of u, float32 or float64, stored as u is (channels last or first).

    pointwise: M and m, result M v + m instead of v. It acts on the coefficients, which are fewer
    than the nodes: M Σ_k v̂_k e_k + m = Σ_k M v̂_k e_k + m e_0.
    """
    shape = tuple(u.shape[1:-1])
    if fft_is_faster(shape, weight):
        v = spectral_conv_reference.convolve(u.movedim(-1, 1), weight).movedim(1, -1)
        return v if pointwise is None else F.linear(v, *pointwise)
    A, c = constants(shape, modes_of(weight), u.dtype, u.device)
    W = weights_of_kept_modes(weight, shape).flatten(0, -4)
    u_hat = Analysis.apply(u, *A)
    v_hat = Mix.apply(u_hat.flatten(2, -2), W, c)
    if pointwise is not None:
        M, m = pointwise
        v_hat = F.linear(v_hat, M)
        v_hat[:, 0, mode_zero(shape, weight)] += m
    v_hat = v_hat.view(*u_hat.shape[:-1], v_hat.shape[-1])
    return Synthesis.apply(v_hat, _channels_first(u), *A)


def fft_is_faster(shape: Sequence[int], weight: Float[Tensor, "*modes i two o"]) -> bool:
    """Only for many modes of long fields on a line.

    Measured forward and backward, one thread, 16 channels, time of FFT over products: 4096 nodes
    with 64, 128, 512, 1024 modes 0.9, 0.5, 0.3, 0.3; 1024 with 64 modes 1.0. In more dimensions
    products win throughout: 512² with 64, 128, 256 modes 3.0, 1.3, 1.4; 64³ with 16, 32 modes 3.7,
    1.8; 128² with all modes 3.3; 32³ with all modes 4.4.
    """
    return len(shape) == 1 and shape[0] >= 1024 and weight.shape[0] > 33


def modes_of(weight: Float[Tensor, "*modes i two o"]) -> tuple[int, ...]:
    """n_modes, the argument of `SpectralConv`."""
    *first, last = weight.shape[:-3]
    return (*first, 2 * (last - 1))


def mode_zero(shape: Sequence[int], weight: Float[Tensor, "*modes i two o"]) -> int:
    """Where k = 0 is among the kept modes, counted through all axes."""
    place = 0
    for k in kept_modes(shape, modes_of(weight)):
        place = place * len(k) + k.index(0)
    return place
