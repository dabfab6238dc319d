"""Incomplete Cholesky and SOR on dense matrices, in plain torch.

Twin of `sweeps/cpu.py`, which works on the stored entries of a sparse matrix.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def incomplete_cholesky(A: Float[Tensor, "n n"], dropped: float) -> Float[Tensor, "n n"]:
    """U, upper triangular with zeros where A has zeros: Uᵀ U = A there (Meijerink & van der Vorst
    1977).

    Fill outside the pattern is dropped (IC(0), `dropped` = 0), or subtracted from the diagonals of
    its row and its column (MIC(0), `dropped` = 1): then Uᵀ U and A have the same row sums
    (Gustafsson 1978).
    """
    n, pattern = len(A), A != 0
    W = A.clone()
    U = torch.zeros_like(A)
    for k in range(n):
        U[k, k:] = W[k, k:] * pattern[k, k:] / W[k, k].sqrt()
        U[k, k] = W[k, k].sqrt()
        fill = torch.outer(U[k], U[k])
        fill[: k + 1], fill[:, : k + 1] = 0, 0
        keep = pattern | torch.eye(n, dtype=torch.bool)
        W = W - fill * keep - dropped * torch.diag((fill * ~keep).sum(1))
    return U


def sweep(
    A: Float[Tensor, "n n"], omega: float, b: Float[Tensor, " n"], x: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """x + (D/ω + L)⁻¹ (b - A x), D the diagonal and L the part of A below it (Young 1950)."""
    M = torch.diag(A.diagonal() / omega) + A.tril(-1)
    return x + torch.linalg.solve_triangular(M, (b - A @ x)[:, None], upper=False)[:, 0]


def sweep_back(
    A: Float[Tensor, "n n"], omega: float, b: Float[Tensor, " n"], x: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """`sweep` from the last unknown to the first: x + (D/ω + U)⁻¹ (b - A x), U the part of A above
    D."""
    return sweep(A.flip(0, 1), omega, b.flip(0), x.flip(0)).flip(0)
