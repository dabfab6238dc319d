"""The pointwise work of the 2D vorticity equation in Fourier space,

    ω_t = -[(∂xx - ∂yy)(uv) + ∂xy(v² - u²)],    u = ψ_y, v = -ψ_x, -Δψ = ω,

between the Fourier transforms of `solvers/evolution/equations/navier_stokes.py`: `velocity`,
`products`, `turn` and `tendency`, which are explained in `reference.py`, the plain twin. `cpu.py`
has them as fused loops, `gpu.py` as Triton kernels.
"""

import math
from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Complex
from torch import Tensor

from ..forms import Forms
from ..runtime.tiles import cdiv
from ..runtime.waves import unfit_dtype
from . import reference  # noqa: F401 - for graphs, see `Forms`

FORMS = Forms(__name__, cpu="cpu", cuda="gpu")

# Limits for a CPU, in nodes of all samples together.
_AT_ONCE = 1 << 17  # samples transformed together: their fields stay in the cache
_ALONE = 1 << 15  # below, the threads of torch cost more than they save
_PER_THREAD = 1 << 17  # from here on each thread works on samples of its own

# Nodes of a part of the batch on a GPU, at least. Small parts stay in the cache, large ones need
# fewer launches.
_PART_ON_GPU = 1 << 20


@dataclass(frozen=True)
class Bound:
    """The form for one batch, and how its samples are divided.

    Attributes:
        loops: `velocity`, `products`, `turn`, `tendency`.
        chunks: numbers of samples to transform together, candidates for the fastest.
        one_thread: whether torch should use one thread.
        both_axes: whether one call transforms both axes of all nodes. If not, first one axis of the
            kept waves is transformed, then the other one of its transpose (`turn`).
    """

    loops: ModuleType
    chunks: tuple[int, ...]
    one_thread: bool
    both_axes: bool


def bind(w: Complex[Tensor, "b l k"], shape: tuple[int, int]) -> Bound:
    """The form for vorticities like w on a grid of this shape."""
    loops, nodes, b = FORMS.fitting(w, gpu=unfit_dtype(w.dtype)), math.prod(shape), len(w)
    name = loops.__name__.rpartition(".")[2]
    if name == "cpu":
        chunk = min(b, max(1, _AT_ONCE // nodes))
        return Bound(loops, (chunk,), b * nodes < _ALONE, both_axes=False)
    halves = [b]
    while name == "gpu" and halves[-1] * nodes >= 2 * _PART_ON_GPU and halves[-1] > 1:
        halves.append(cdiv(halves[-1], 2))
    return Bound(loops, tuple(halves), one_thread=False, both_axes=True)


def num_parts(w: Complex[Tensor, "b l k"], shape: tuple[int, int]) -> int:
    """Number of threads among which the batch is divided; 1 if the batch is small."""
    on_cpu = FORMS.by_device.get(w.device.type) == "cpu"
    threads = torch.get_num_threads() if on_cpu else 1
    nodes = len(w) * math.prod(shape)
    return threads if threads <= min(len(w), nodes // _PER_THREAD) else 1
