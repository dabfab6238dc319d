"""The parts of a spectral convolution as differentiable functions, in the form for the device.

The adjoint in u of v = Aᵀ D A u (`matrices.py`) is the same convolution with the matrices W_k^H,
and the gradient of W_k is c_k Σ_b conj(û_k) ĝ_k: A, Aᵀ and products of one matrix per mode are all
that is needed. Each of the three is a Function whose backward consists of differentiable
operations, so derivatives of every order exist.

A form is a module with `analysis` (A), `synthesis` (Aᵀ), `mix` (D) and `mix_gradients`: `cpu.py`,
`gpu.py`. Fields have any floating dtype; coefficients and weights have at least float32.
"""

from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from ..forms import Forms
from . import cpu, gpu
from .cpu import channels_first_in_memory
from .matrices import Matrices, constants, mode_zero, modes_of
from .reference import weights_of_kept_modes

# Axes: b batch, i and o channels in and out, k kept modes of all axes.

FORMS = Forms(__package__, otherwise="cpu", cpu="cpu", cuda="gpu")


def convolve(
    u: Float[Tensor, "b *space i"],
    weight: Float[Tensor, "*modes i two o"],
    pointwise: tuple[Float[Tensor, "p o"], Float[Tensor, " p"]] | None = None,
) -> Float[Tensor, "b *space p"]:
    """Same as `spectral_conv.convolve`, with the memory layout of u (channels last or first).

    A pointwise map acts on the coefficients: M Σ_k v̂_k e_k + m = Σ_k M v̂_k e_k + m e_0.
    """
    shape = tuple(u.shape[1:-1])
    A, c = constants(shape, modes_of(weight), coefficients_dtype(u), u.device)
    u_hat = transform(u, A)
    W = weights_of_kept_modes(weight, shape).flatten(0, -4)
    v_hat = mix(u_hat.flatten(2, -2), W, c)
    if pointwise is not None:
        M, m = pointwise
        v_hat = F.linear(v_hat, M)
        v_hat[:, 0, mode_zero(shape, weight)] += m
    v_hat = v_hat.view(*u_hat.shape[:-1], v_hat.shape[-1])
    return invert(v_hat, A, channels_first_in_memory(u), u.dtype)


def coefficients_dtype(u: Tensor) -> torch.dtype:
    """That of the coefficients of u: float32 for shorter ones."""
    return torch.float32 if u.dtype in (torch.bfloat16, torch.float16) else u.dtype


# No Function without gradients: torch.compile (2.13) then calls its forward wrongly.


def transform(u: Float[Tensor, "b *space c"], A: Matrices) -> Float[Tensor, "b two *modes c"]:
    """A u."""
    return Analysis.apply(u, *A) if torch.is_grad_enabled() else _form(u, len(A)).analysis(u, A)


def invert(
    v_hat: Float[Tensor, "b two *modes c"], A: Matrices, channels_first: bool, dtype: torch.dtype
) -> Float[Tensor, "b *space c"]:
    """Aᵀ v̂ in a dtype and memory layout."""
    if torch.is_grad_enabled():
        return Synthesis.apply(v_hat, channels_first, dtype, *A)
    return _form(v_hat, len(A)).synthesis(v_hat, A, channels_first, dtype)


def mix(
    u_hat: Float[Tensor, "b two k i"], W: Float[Tensor, "k i two o"], c: Float[Tensor, " k"]
) -> Float[Tensor, "b two k o"]:
    """c_k W_k û_k."""
    return Mix.apply(u_hat, W, c) if torch.is_grad_enabled() else _form(u_hat).mix(u_hat, W, c)


def _form(u: Tensor, num_axes: int = 1) -> ModuleType:
    """The form for u; matrix products if single operations must be visible (vmap)."""
    if torch._C._are_functorch_transforms_active():
        return cpu
    return gpu if _name_of_form(u.device.type, u.dtype, num_axes) == "gpu" else cpu


def _name_of_form(device: str, dtype: torch.dtype, num_axes: int) -> str:
    return FORMS.choice(device, gpu.unfit(dtype, num_axes)).form


# The mark of `torch.compiler.assume_constant_result`; see `matrices.constants`.
_name_of_form._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _full_precision(g: Tensor) -> torch.autocast:
    """A context with the precision of the forward pass, also if backward is under autocast."""
    return torch.autocast(g.device.type, enabled=False)


class Analysis(Function):
    """u -> A u, (b, *space, c) -> (b, r, *modes, c)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, *A: Tensor) -> Tensor:
        return _form(u, len(A)).analysis(u, A)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, *A = inputs
        ctx.channels_first, ctx.dtype = channels_first_in_memory(u), u.dtype
        ctx.save_for_backward(*A)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        A = ctx.saved_tensors
        with _full_precision(g):
            return invert(g, A, ctx.channels_first, ctx.dtype), *[None] * len(A)


class Synthesis(Function):
    """v̂ -> Aᵀ v̂, (b, r, *modes, c) -> (b, *space, c)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v_hat: Tensor, channels_first: bool, dtype: torch.dtype, *A: Tensor) -> Tensor:
        return _form(v_hat, len(A)).synthesis(v_hat, A, channels_first, dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[3:])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        A = ctx.saved_tensors
        with _full_precision(g):
            return transform(g, A), None, None, *[None] * len(A)


class Mix(Function):
    """û, W, c -> c_k W_k û_k."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u_hat: Tensor, W: Tensor, c: Tensor) -> Tensor:
        return _form(u_hat).mix(u_hat, W, c)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        # Products can be differentiated again.
        form = cpu if torch.is_grad_enabled() else _form(g)
        with _full_precision(g):
            return *form.mix_gradients(g, *ctx.saved_tensors), None
