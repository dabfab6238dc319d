"""The sums of an ETDRK4 step in plain torch: twin of `etdrk4/cpu.py`.

Factors are one number per wave and broadcast to the fields; the letters are those of
`solvers/evolution/etdrk4.py`.
"""

from collections.abc import Sequence

from torch import Tensor


def pair(f: Tensor, u: Tensor, g: Tensor, v: Tensor, out: Tensor) -> None:
    """out = f u + g v."""
    out.copy_(f * u + g * v)


def last_stage(E2: Tensor, a: Tensor, Q: Tensor, Nb: Tensor, Nu: Tensor, out: Tensor) -> None:
    """out = E₂ a + Q (2 N(b) - N(u))."""
    out.copy_(E2 * a + Q * (2 * Nb - Nu))


def update(u: Tensor, factors: Sequence[Tensor], N: Sequence[Tensor]) -> None:
    """u = E u + f₁ N(u) + 2 f₂ (N(a) + N(b)) + f₃ N(c), in place."""
    E, f1, f2, f3 = factors
    Nu, Na, Nb, Nc = N
    u.copy_(E * u + f1 * Nu + 2 * f2 * (Na + Nb) + f3 * Nc)
