"""The pointwise work of the 2D vorticity equation in Fourier space,

    ω_t = -[(∂xx - ∂yy)(uv) + ∂xy(v² - u²)],    u = ψ_y, v = -ψ_x, -Δψ = ω,

between the Fourier transforms of `solvers/evolution/equations/navier_stokes.py`: `velocity`,
`products`, `turn` and `tendency`, which are explained in `reference.py`, the plain twin. `cpu.py`
has them as fused loops.
"""

import math
from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Complex
from torch import Tensor

from ..forms import Forms

FORMS = Forms(__name__, cpu="cpu")

# Limits for a CPU, in nodes of all samples together.
_AT_ONCE = 1 << 17  # samples transformed together: their fields stay in the cache
_ALONE = 1 << 15  # below, the threads of torch cost more than they save
_PER_THREAD = 1 << 17  # from here on each thread works on samples of its own


@dataclass(frozen=True)
class Bound:
    """The form for one batch, and how its samples are divided.

    Attributes:
        loops: `velocity`, `products`, `turn`, `tendency`.
        chunk: number of samples transformed together.
        one_thread: whether torch should use one thread.
    """

    loops: ModuleType
    chunk: int
    one_thread: bool


def bind(w: Complex[Tensor, "b l k"], shape: tuple[int, int]) -> Bound:
    """The form for vorticities like w on a grid of this shape."""
    loops, nodes = FORMS.of(w), math.prod(shape)
    if not FORMS.serve(w):
        return Bound(loops, len(w), False)
    return Bound(loops, min(len(w), max(1, _AT_ONCE // nodes)), len(w) * nodes < _ALONE)


def num_parts(w: Complex[Tensor, "b l k"], shape: tuple[int, int]) -> int:
    """Number of threads among which the batch is divided; 1 if the batch is small."""
    threads = torch.get_num_threads() if FORMS.serve(w) else 1
    nodes = len(w) * math.prod(shape)
    return threads if threads <= min(len(w), nodes // _PER_THREAD) else 1
