"""The truncated Fourier matrices of a grid and the factors of its modes, computed once.

With the plain sums (A u)_k = Σ_x u(x) exp(-2πi k·x/L), as real pairs, the convolution is

    v = Aᵀ D A u,    (D û)_k = c_k W_k û_k,

since Aᵀ sums the real parts of exp(2πi k·x/L) v̂_k over the kept modes. c_k is the product of the
remaining factors: 1/N, 2 for modes whose opposite is implied because u is real, and 2 for the modes
of `counts_twice`.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .reference import counts_twice, kept_modes

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
