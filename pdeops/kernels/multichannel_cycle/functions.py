"""The cycle as a differentiable function, in the form for the device.

Derivatives of second order, forward mode and maps of `torch.func` take the plain form, whose single
operations torch differentiates.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from ..forms import Forms
from . import gpu, passes, reference
from .geometry import Geometry, Plan, joined
from .steps import Steps

FORMS = Forms(__package__, cuda="gpu")


def cycle(
    f: Float[Tensor, "b f *space"], weights: Sequence[Tensor], plan: Plan, geometry: Geometry
) -> Float[Tensor, "b u *space"]:
    """Same as `multichannel_cycle.cycle`."""
    if _form(f, weights) == "reference":
        return reference.cycle(f, plan.split(weights), geometry)
    device = f.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else f.dtype
    fields = [t.to(dtype) for t in (f, *weights)]
    return by_steps(fields[0], fields[1:], plan, geometry)


def by_steps(
    f: Float[Tensor, "b f *space"], weights: Sequence[Tensor], plan: Plan, geometry: Geometry
) -> Float[Tensor, "b u *space"]:
    """The cycle by the two passes of `passes.py`, with the steps of the device."""
    # No Function without gradients: torch.compile (2.13) then calls its forward wrongly.
    if torch.is_grad_enabled():
        return Cycle.apply(f, plan, geometry, *weights)
    return _forward(f, weights, plan, geometry, keep=False)[0]


def _form(f: Tensor, weights: Sequence[Tensor]) -> str:
    if torch._C._are_functorch_transforms_active():
        return "reference"
    device = f.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else f.dtype
    channels = max(max(W.shape[:2]) for W in weights)
    return _name_of_form(device, dtype, f.ndim - 2, channels)


def _name_of_form(device: str, dtype: torch.dtype, num_axes: int, channels: int) -> str:
    return FORMS.choice(device, gpu.unfit(dtype, num_axes, channels)).form


# The mark of `torch.compiler.assume_constant_result`; see `spectral_conv.matrices.constants`.
_name_of_form._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _forward(
    f: Tensor, weights: Sequence[Tensor], plan: Plan, geometry: Geometry, *, keep: bool
) -> list[Tensor]:
    """u and the fields that the backward pass needs."""
    if _form(f, weights) == "gpu":
        return gpu.forward(f, weights, gpu.arguments(plan, geometry), keep)
    u, kept = passes.forward(Steps(geometry), f, plan.split(weights))
    return [u, *kept]


class Cycle(Function):
    """f and the weights -> u."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, plan: Plan, geometry: Geometry, *weights: Tensor) -> Tensor:
        u, *kept = _forward(f, weights, plan, geometry, keep=True)
        ctx.save_for_backward(f, *weights, *kept)
        ctx.plan, ctx.geometry, ctx.num_weights = plan, geometry, len(weights)
        return u

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        f, *rest = ctx.saved_tensors
        weights, kept = rest[: ctx.num_weights], rest[ctx.num_weights :]
        plan, geometry = ctx.plan, ctx.geometry
        with torch.autocast(g.device.type, enabled=False):
            if torch.is_grad_enabled():  # of the gradients themselves
                u = reference.cycle(f, plan.split(weights), geometry)
                wanted = [t for t in (f, *weights) if t.requires_grad]
                found = iter(torch.autograd.grad(u, wanted, g, create_graph=True))
                return _placed([next(found) if t.requires_grad else None for t in (f, *weights)])
            elif _form(f, weights) == "gpu":
                return _placed(gpu.backward(g, f, kept, weights, gpu.arguments(plan, geometry)))
            df, levels = passes.backward(Steps(geometry), g, f, kept, plan.split(weights))
            return _placed([df, *joined(levels)])


def _placed(gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Those in f and the weights, at the places of the arguments of `Cycle`."""
    df, *dW = gradients
    return df, None, None, *dW
