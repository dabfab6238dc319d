"""The product with a symmetric stencil of 3^d points and variable entries on a box:

    (A u)_p = d_p u_p + Σ_i a_i(p) u_(p+δ_i) + a_i(p-δ_i) u_(p-δ_i)

over one of each pair of opposite offsets δ_i (`stencil_offsets`). `reference.py` is the plain twin:
any device, dtype and dimension, differentiable. `cpu.py` has a loop over flat fields.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..forms import Forms, is_compiled
from . import reference
from .problem import Entries
from .reference import paired, stencil_offsets

__all__ = ["Entries", "apply", "apply_into", "bind", "paired", "stencil_offsets"]

FORMS = Forms(__name__, cpu="cpu")


def apply(A: Entries, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
    """A u; differentiable in u and in the entries."""
    if _has_loops(A, u):
        return apply_into(A, u, torch.empty_like(u, memory_format=torch.contiguous_format))
    return reference.apply(u, A.diagonal, A.couplings)


def apply_into(
    A: Entries, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
) -> Float[Tensor, "*batch_space"]:
    """A u written to `out`, which is returned; no gradient."""
    if not (_has_loops(A, u) and out.dtype == u.dtype and out.is_contiguous()):
        return out.copy_(reference.apply(u, A.diagonal, A.couplings))
    form, u = FORMS.of(u), u.detach().contiguous()
    for one, result in zip(u.view(-1, *A.shape), out.view(-1, *A.shape), strict=True):
        form.bind(A, one, result)()
    return out


def bind(
    A: Entries, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
) -> Callable[[], object]:
    """`apply_into` without arguments, to be called many times; for one field the loop itself."""
    one = tuple(u.shape) == A.shape and u.is_contiguous()
    if one and out.is_contiguous() and out.dtype == u.dtype and _has_loops(A, u):
        return FORMS.of(u).bind(A, u.detach(), out)
    return partial(apply_into, A, u, out)


def _has_loops(A: Entries, u: Tensor) -> bool:
    if not (FORMS.serve(u) and is_compiled(u) and A.diagonal.dtype == u.dtype):
        return False
    stored = (A.diagonal, A.couplings)
    return not (torch.is_grad_enabled() and any(t.requires_grad for t in stored))
