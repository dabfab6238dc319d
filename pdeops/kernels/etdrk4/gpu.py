"""The sums of an ETDRK4 step by Triton kernels, each in one pass.

Twin: `etdrk4/reference.py`. Fields are real or complex, factors real, or complex for complex
fields, so that every equation without a coupled symbol is served. Each field and factor is read
once and the result written once; torch writes a temporary field for each product and each sum.

The operations are registered with torch (`torch.ops.pdeops`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..runtime.registration import nothing, register
from ..runtime.waves import launch, unfit

__all__ = ["last_stage", "pair", "unfit", "update"]


def pair(f: Tensor, u: Tensor, g: Tensor, v: Tensor, out: Tensor) -> None:
    """Same as `reference.pair`."""
    torch.ops.pdeops.etdrk4_pair(f, u, g, v, out)


def last_stage(E2: Tensor, a: Tensor, Q: Tensor, Nb: Tensor, Nu: Tensor, out: Tensor) -> None:
    """Same as `reference.last_stage`."""
    torch.ops.pdeops.etdrk4_last_stage(E2, a, Q, Nb, Nu, out)


def update(u: Tensor, factors: Sequence[Tensor], N: Sequence[Tensor]) -> None:
    """Same as `reference.update`."""
    torch.ops.pdeops.etdrk4_update(u, list(factors), list(N))


def _pair(f: Tensor, u: Tensor, g: Tensor, v: Tensor, out: Tensor) -> None:
    from .triton_kernels import pair

    launch(pair, (out,), (f, g), (u, v))


def _last_stage(E2: Tensor, a: Tensor, Q: Tensor, Nb: Tensor, Nu: Tensor, out: Tensor) -> None:
    from .triton_kernels import last_stage

    launch(last_stage, (out,), (E2, Q), (a, Nb, Nu))


def _update(u: Tensor, factors: list[Tensor], N: list[Tensor]) -> None:
    from .triton_kernels import update

    launch(update, (u,), factors, N)


_LIBRARY = register(
    {
        "etdrk4_pair(Tensor f, Tensor u, Tensor g, Tensor v, Tensor(a!) out) -> ()": (
            _pair,
            nothing,
        ),
        "etdrk4_last_stage(Tensor E2, Tensor a, Tensor Q, Tensor Nb, Tensor Nu, Tensor(a!) out)"
        " -> ()": (_last_stage, nothing),
        "etdrk4_update(Tensor(a!) u, Tensor[] factors, Tensor[] N) -> ()": (_update, nothing),
    }
)
