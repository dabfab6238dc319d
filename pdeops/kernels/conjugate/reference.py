"""The vector work of conjugate gradients in plain torch: twin of `conjugate/cpu.py`."""

import torch
from torch import Tensor


class Step:
    """Same as `conjugate.Step`; any device, dtype and memory layout."""

    def __init__(self, p: Tensor, Ap: Tensor, x: Tensor, r: Tensor, z: Tensor) -> None:
        self.p, self.Ap, self.x, self.r, self.z = p, Ap, x, r, z

    def direction(self, rz_old: float) -> float:
        rz = dot(self.r, self.z)
        beta = rz / rz_old if rz_old != 0 else 0.0
        torch.add(self.z, self.p, alpha=beta, out=self.p)
        return rz

    def descend(self, rz: float) -> tuple[float, float]:
        pAp = dot(self.Ap, self.p)
        alpha = rz / pAp if rz > 0 and pAp > 0 else 0.0
        self.x.add_(self.p, alpha=alpha)
        self.r.add_(self.Ap, alpha=-alpha)
        return pAp, dot(self.r, self.r)


def dot(u: Tensor, v: Tensor) -> float:
    """⟨u, v⟩"""
    return torch.dot(u.reshape(-1), v.reshape(-1)).item()
