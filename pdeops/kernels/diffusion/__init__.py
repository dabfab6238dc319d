"""The operator A u = -div(a grad u) + e u on a grid of any dimension:

    (A u)_i = Σ c_face (u_i - u_neighbour) + e_i u_i    over the faces of node i.

`reference.py` is the plain twin: any device and dtype, differentiable. `cpu.py` has loops for one
to three axes.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..forms import Forms, is_compiled
from . import reference
from .factors import Factors
from .problem import Couplings, Profiles

__all__ = ["Couplings", "Factors", "Profiles", "apply", "apply_into", "bind", "harmonic_faces"]

FORMS = Forms(__name__, cpu="cpu")


def apply(
    A: Couplings | Profiles, u: Float[Tensor, "*batch_space"]
) -> Float[Tensor, "*batch_space"]:
    """A u; differentiable in u and in the couplings."""
    if _has_loops(A, u):
        return apply_into(A, u, torch.empty_like(u, memory_format=torch.contiguous_format))
    return _plain(A, u)


def apply_into(
    A: Couplings | Profiles, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
) -> Float[Tensor, "*batch_space"]:
    """A u written to `out`, which is returned; no gradient."""
    if not (_has_loops(A, u) and out.dtype == u.dtype and out.is_contiguous()):
        return out.copy_(_plain(A, u))
    form, u = FORMS.of(u), u.detach().contiguous()
    if u.shape == A.shape:
        form.bind(A, u, out)()
        return out
    for one, result in zip(u.view(-1, *A.shape), out.view(-1, *A.shape), strict=True):
        form.bind(A, one, result)()
    return out


def bind(
    A: Couplings | Profiles, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
) -> Callable[[], object]:
    """`apply_into` without arguments, to be called many times; for one field the loop itself."""
    one = tuple(u.shape) == A.shape and u.is_contiguous()
    if one and out.is_contiguous() and out.dtype == u.dtype and _has_loops(A, u):
        return FORMS.of(u).bind(A, u.detach(), out)
    return partial(apply_into, A, u, out)


def harmonic_faces(
    a: Float[Tensor, "*nodes"], factors: Factors, skipped: Sequence[int]
) -> Float[Tensor, "*faces"]:
    """The harmonic means of a between the nodes of an axis, times the factors; differentiable in a.

    Args:
        a: along the axis of the faces one value more than faces; along the others the unknowns.
        skipped: per axis, the number of nodes at each end that are not unknowns; 0 along the axis.
    """
    fits = is_compiled(a) and a.ndim <= 3
    return FORMS.of(a, fits=fits).harmonic_faces(a, factors, skipped)


def _plain(A: Couplings | Profiles, u: Tensor) -> Tensor:
    C = A.of(u)
    return reference.apply(u, C.faces, C.excess, C.periodic)


def _has_loops(A: Couplings | Profiles, u: Tensor) -> bool:
    if len(A.shape) > 3 or not (FORMS.serve(u) and is_compiled(u)):
        return False
    if isinstance(A, Profiles):
        return A.dtype in (None, u.dtype)
    if A.dtype != u.dtype or not FORMS.serve(A.faces[0]):
        return False
    return not (torch.is_grad_enabled() and any(t.requires_grad for t in A.stored))
