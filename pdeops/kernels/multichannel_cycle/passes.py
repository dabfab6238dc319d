"""A cycle and its gradients by steps (`steps.py`), written once for all forms of the steps.

The gradient in f is the transposed cycle: the sweeps come in the opposite order, Pᵀ restricts and
Rᵀ prolongs. The gradient in a weight is a sum over nodes of products of the field that the weight
acts on and the gradient in the result, so `forward` keeps the u and r of every step.
"""

from collections.abc import Sequence
from typing import Any

from .geometry import Level

# A field is what the steps make of it: a tensor, or a place in a buffer (`recording.py`).


def forward(steps: Any, f: Any, levels: Sequence[Level]) -> tuple[Any, list[Any]]:
    """u and the fields that `backward` needs."""
    if (whole := steps.whole(f, levels)) is not None:
        return whole
    A, pre, post, R, P = levels[0]
    kept: list[Any] = []
    u = steps.stencil(f, pre[0])  # from u = 0 the residual is f

    def sweep(u: Any, S: Any) -> Any:
        smoothed, r = steps.smooth(u, f, A, S)
        kept.extend((u, r))
        return smoothed

    for S in pre[1:]:
        u = sweep(u, S)
    if R is not None:
        coarse_f, r = steps.restrict(u, f, A, R)
        e, below = forward(steps, coarse_f, levels[1:])
        kept.extend((u, r, *below, coarse_f, e))
        u = steps.correct(u, e, P)
    for S in post:
        u = sweep(u, S)
    return u, kept


def backward(
    steps: Any, g: Any, f: Any, kept: list[Any], levels: Sequence[Level]
) -> tuple[Any, list[Level]]:
    """The gradients in f and in the weights of all levels; removes its fields from `kept`."""
    if (whole := steps.whole_backward(g, f, kept, levels)) is not None:
        return whole
    A, pre, post, R, P = levels[0]
    terms: list[Any] = []
    dA: list[Any] = []

    def sweep(g: Any, S: Any) -> tuple[Any, Any]:
        r, u = kept.pop(), kept.pop()
        df, du = steps.smooth_adjoint(g, A, S)
        terms.append(df)
        dA.append(steps.stencil_weight(u, df, A))
        return du, steps.stencil_weight(r, g, S)

    d_pre: list[Any] = []
    d_post: list[Any] = []
    dR = dP = None
    below: list[Level] = []
    for S in reversed(post):
        g, dS = sweep(g, S)
        d_post.insert(0, dS)
    if R is not None:
        e, coarse_f = kept.pop(), kept.pop()
        dP = steps.correct_weight(e, g, P)
        coarse_g, below = backward(steps, steps.correct_adjoint(g, P), coarse_f, kept, levels[1:])
        r, u = kept.pop(), kept.pop()
        df, g = steps.restrict_adjoint(coarse_g, g, A, R)
        terms.append(df)
        dR = steps.restrict_weight(r, coarse_g, R)
        dA.append(steps.stencil_weight(u, df, A))
    for S in reversed(pre[1:]):
        g, dS = sweep(g, S)
        d_pre.insert(0, dS)
    d_pre.insert(0, steps.stencil_weight(f, g, pre[0]))
    here = Level(steps.minus_sum(dA), tuple(d_pre), tuple(d_post), dR, dP)
    return steps.stencil_adjoint(g, pre[0], terms), [here, *below]
