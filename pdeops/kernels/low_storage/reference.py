"""One stage of a low-storage implicit-explicit step in plain torch: twin of
`low_storage/cpu.py`."""

from torch import Tensor


def update(u: Tensor, h: Tensor, N: Tensor, beta: float, decay: Tensor, gain: Tensor) -> None:
    """h = N + β h, u = decay u + gain h, in place; the factors broadcast to u's shape.

    If β = 0, the old h is not read and may hold NaN.
    """
    if beta == 0:
        h.copy_(N)
    else:
        h.mul_(beta).add_(N)
    u.mul_(decay).addcmul_(h, gain.to(h.dtype))
