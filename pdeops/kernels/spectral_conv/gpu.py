"""The parts of a spectral convolution, A, Aᵀ and D of `matrices.py`, by Triton kernels.

Twin: `cpu.py`, the same parts by matrix products. A field of which few modes are kept is read once
and only these modes are written, and Aᵀ writes a field once: the full spectrum never exists.

- A, all but the first axis of 3D: `analyse_planes` transforms tiles of rows along the last axis and
  adds them, in registers, to the sums over the axis before it.
- the first axis in 3D, on fields that are already truncated: a product of matrices.
- D and its gradients: one matrix per mode, `mix_modes` and `weight_gradient`.
- Aᵀ: `synthesise_planes`, the same steps backwards.

In 1D, and for so many modes that sums over a plane do not fit in registers, `analyse_lines` and
`synthesise_lines` transform the last axis alone; matrix products do the rest.

**Bytes and flops** of A or Aᵀ, for b samples of c channels on X x Y nodes, KX x KY modes and s
bytes per number of the field: s·b·c·X·Y bytes of the field, which are compulsory, and 8·b·c·KX·KY
bytes of coefficients for each part that the rows are divided into; 4·b·c·X·Y·KY flops along y and
8·b·c·X·KX·KY along x. KX and KY are padded to powers of 2, at least 16. Forward and backward
together call A and Aᵀ twice each, so the compulsory bytes are 4·s·b·c·X·Y. Lines write and read
8·b·c·X·KY bytes of a truncated field in addition. Memory is the bound while 4·KY/s flops per byte
are fewer than the machine does in the time of a byte. A float32 product on tensor cores (tf32x3)
is three of TF32; elsewhere (ieee) it is one.

**Precision.** Sums and coefficients are float32. Products of float32 fields are `ieee` or `tf32x3`,
which have errors of one size, unless torch allows TF32 (`torch.backends.cuda.matmul`). Fields in
bfloat16 or float16 are exact in TF32 and use it.

The operations are registered with torch (`torch.ops.pdeops`), so that torch.compile and
torch.export keep them as one node each. `functions.py` has their derivatives.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..forms import Operation, registered
from .matrices import Matrices

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def unfit(dtype: torch.dtype, num_axes: int) -> str | None:
    """Why the kernels cannot take such a field; None: they can."""
    if dtype not in DTYPES:
        return f"{dtype} has no Triton kernel (float32, bfloat16, float16 have)"
    if num_axes > 3:
        return f"{num_axes} axes of space have no Triton kernel (1 to 3 have)"
    return None


def analysis(u: Float[Tensor, "b *space c"], A: Matrices) -> Float[Tensor, "b two *modes c"]:
    """Same as `cpu.analysis`."""
    return torch.ops.pdeops.spectral_analysis(u, A)


def synthesis(
    v_hat: Float[Tensor, "b two *modes c"], A: Matrices, channels_first: bool, dtype: torch.dtype
) -> Float[Tensor, "b *space c"]:
    """Same as `cpu.synthesis`."""
    return torch.ops.pdeops.spectral_synthesis(v_hat, A, channels_first, dtype)


def mix(
    u_hat: Float[Tensor, "b two k i"], W: Float[Tensor, "k i two o"], c: Float[Tensor, " k"]
) -> Float[Tensor, "b two k o"]:
    """Same as `cpu.mix`."""
    return torch.ops.pdeops.spectral_mix(u_hat, W, c)


def mix_gradients(g: Tensor, u_hat: Tensor, W: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Same as `cpu.mix_gradients`."""
    return torch.ops.pdeops.spectral_mix_gradients(g, u_hat, W, c)


# ------------------------------------------------------------ registration of the four with torch


def empty_coefficients(u: Tensor, A: Matrices) -> Tensor:
    modes = [m.shape[0] // 2 for m in A]
    return u.new_empty((len(u), 2, *modes, u.shape[-1]), dtype=torch.float32)


def empty_field(
    v_hat: Tensor, A: Matrices, channels_first: bool, dtype: torch.dtype
) -> Float[Tensor, "b *space c"]:
    b, c = len(v_hat), v_hat.shape[-1]
    space = [*(m.shape[1] // 2 for m in A[:-1]), A[-1].shape[1]]
    if channels_first:
        return v_hat.new_empty((b, c, *space), dtype=dtype).movedim(1, -1)
    return v_hat.new_empty((b, *space, c), dtype=dtype)


def _analysis(u: Tensor, A: list[Tensor]) -> Tensor:
    from .triton_launch import analysis

    return analysis(u, A) if u.numel() else empty_coefficients(u, tuple(A)).zero_()


def _synthesis(v_hat: Tensor, A: list[Tensor], channels_first: bool, dtype: torch.dtype) -> Tensor:
    from .triton_launch import synthesis

    v = empty_field(v_hat, tuple(A), channels_first, dtype)
    return synthesis(v_hat, A, v) if v.numel() else v


def _mix(u_hat: Tensor, W: Tensor, c: Tensor) -> Tensor:
    from .triton_launch import mix

    return mix(u_hat, W, c)


def _mix_gradients(g: Tensor, u_hat: Tensor, W: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    from .triton_launch import mix, weight_gradient

    adjoint = W.transpose(1, 3)  # with the opposite imaginary part, W_k^H
    return mix(g, adjoint, c, conjugate=True), weight_gradient(u_hat, g, c)


def _fake_mix(u_hat: Tensor, W: Tensor, c: Tensor) -> Tensor:
    return u_hat.new_empty(*u_hat.shape[:-1], W.shape[-1])


def _fake_mix_gradients(g: Tensor, u_hat: Tensor, W: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(u_hat), W.new_empty(W.shape)


_OPERATIONS: dict[str, Operation] = {
    "spectral_analysis(Tensor u, Tensor[] A) -> Tensor": (_analysis, empty_coefficients),
    "spectral_synthesis(Tensor v_hat, Tensor[] A, bool channels_first, ScalarType dtype)"
    " -> Tensor": (_synthesis, empty_field),
    "spectral_mix(Tensor u_hat, Tensor W, Tensor c) -> Tensor": (_mix, _fake_mix),
    "spectral_mix_gradients(Tensor g, Tensor u_hat, Tensor W, Tensor c) -> (Tensor, Tensor)": (
        _mix_gradients,
        _fake_mix_gradients,
    ),
}
_LIBRARY = registered(_OPERATIONS)  # the registration ends with this object
