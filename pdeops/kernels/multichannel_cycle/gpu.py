"""The cycle on a GPU: two operations of torch, forward and backward, whose steps are Triton kernels
where these are faster (`triton_launch.py`).

**Bytes.** A field of c channels in s bytes on X x Y nodes, b samples, is one unit F = s b c X Y.
Each convolution reads and writes at least one field and each sum reads two and writes one; on two
axes the levels together have 4/3 of the finest one's.

| step | plain | fused | what stays on chip |
|---|---|---|---|
| u + S (f - A u) | 12 F | 3 F (r kept: 4 F) | A u, r, S r |
| R (f - A u) | 8.25 F | 2.25 F (3.25 F) | A u, r |
| u + P e | 4.25 F | 2.25 F | P e |
| gradients of the first in f and u | 9 F | 3 F | Sᵀ g as operand, Aᵀ Sᵀ g |
| gradients of the second in f and u | 8.25 F | 3.25 F | Rᵀ g as operand, Aᵀ Rᵀ g |
| Wᵀ g + n terms | (2 + 3n) F | (2 + n) F, n ≤ 2 | Wᵀ g |

The second stencil of a tile needs the first one on a layer of nodes around: 16 x 16 nodes give
14 x 14, so the first product is done 1.3 times. Pᵀ g, the gradients in R and P and gradients on
axes with even reflection have nothing to fuse or ghost nodes whose adjoint adds to nodes inside;
they stay plain, and so do the adjoints of transfers on periodic axes of odd length.

From 16² nodes on the rest of a cycle is one launch with one program per sample (`recording.py`).

**Precision.** Fields and weights have one dtype, float32, bfloat16 or float16; sums are float32,
and a field on chip is rounded as if it were in memory. Products of float32 are TF32 if torch
allows it for convolutions (`torch.backends.cudnn.conv.fp32_precision`), else `ieee` or `tf32x3`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..runtime.registration import register
from . import passes, recording
from .geometry import Geometry, Plan, channels_last, joined
from .steps import Steps

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_CHANNELS = 64  # more do not fit into the registers of a program


def unfit(dtype: torch.dtype, num_axes: int, channels: int) -> str | None:
    """Why the kernels cannot take a cycle with such fields; None: they can."""
    if dtype not in DTYPES:
        return f"{dtype} has no Triton kernel (float32, bfloat16, float16 have)"
    if num_axes != 2:
        return f"fields with {num_axes} axes have no Triton kernel (those with 2 have)"
    if channels > MAX_CHANNELS:
        return f"{channels} channels have no Triton kernel (up to {MAX_CHANNELS} have)"
    return None


def forward(f: Tensor, weights: Sequence[Tensor], numbers: list[int], keep: bool) -> list[Tensor]:
    """u and, with `keep`, the fields that `backward` needs.

    Args:
        numbers: `arguments` of the plan and the geometry.
    """
    return torch.ops.pdeops.multichannel_cycle(f, weights, numbers, keep)


def backward(
    g: Tensor, f: Tensor, kept: Sequence[Tensor], weights: Sequence[Tensor], numbers: list[int]
) -> list[Tensor]:
    """The gradients in f and in the weights."""
    return torch.ops.pdeops.multichannel_cycle_gradients(g, f, kept, weights, numbers)


def arguments(plan: Plan, geometry: Geometry) -> list[int]:
    return [*plan, *geometry.integers()]


# ------------------------------------------------------------ registration of the two with torch


class FakeSteps(Steps):
    """The steps of tensors without values, for torch.compile: shapes alone."""

    def whole(self, f: Tensor, levels: Any) -> tuple[Tensor, list[Tensor]] | None:
        if not recording.is_small(f, levels, self.geometry):
            return None
        rec = recording.recording_of(f, levels, self.geometry)
        u = f.new_empty(len(f), rec.u.channels, *rec.u.shape)
        return u, [f.new_empty(len(f) * rec.size)]


def run_forward(
    f: Tensor, weights: Sequence[Tensor], numbers: Sequence[int], keep: bool, kind: Any
) -> list[Tensor]:
    plan, geometry = Plan(*numbers[:4]), Geometry.from_integers(numbers[4:])
    f = channels_last(f)
    u, kept = passes.forward(kind(geometry), f, plan.split(weights))
    return [owned(channels_last(t)) for t in (u, *(kept if keep else ()))]


def _forward(f: Tensor, weights: list[Tensor], numbers: list[int], keep: bool) -> list[Tensor]:
    from .triton_launch import TritonSteps

    return run_forward(f, weights, numbers, keep, lambda geometry: TritonSteps(geometry, keep=keep))


def _fake_forward(f: Tensor, weights: list[Tensor], numbers: list[int], keep: bool) -> list[Tensor]:
    return run_forward(f, weights, numbers, keep, FakeSteps)


def _backward(
    g: Tensor, f: Tensor, kept: list[Tensor], weights: list[Tensor], numbers: list[int]
) -> list[Tensor]:
    from .triton_launch import TritonSteps

    plan, geometry = Plan(*numbers[:4]), Geometry.from_integers(numbers[4:])
    steps, levels = TritonSteps(geometry, keep=True), plan.split(weights)
    df, gradients = passes.backward(steps, channels_last(g), channels_last(f), list(kept), levels)
    return [owned(channels_last(df)), *(dW.contiguous() for dW in joined(gradients))]


def _fake_backward(
    g: Tensor, f: Tensor, kept: list[Tensor], weights: list[Tensor], numbers: list[int]
) -> list[Tensor]:
    df = torch.empty_like(f, memory_format=torch.channels_last)
    return [df, *(W.new_empty(W.shape) for W in weights)]


def owned(u: Tensor) -> Tensor:
    """A result of an operation, which must not be a part of another tensor."""
    return u if u.untyped_storage().nbytes() == u.numel() * u.element_size() else u.clone()


_LIBRARY = register(
    {
        "multichannel_cycle(Tensor f, Tensor[] weights, int[] numbers, bool keep) -> Tensor[]": (
            _forward,
            _fake_forward,
        ),
        "multichannel_cycle_gradients(Tensor g, Tensor f, Tensor[] kept, Tensor[] weights, "
        "int[] numbers) -> Tensor[]": (_backward, _fake_backward),
    }
)  # the registration ends with this object
