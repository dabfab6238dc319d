"""Sparse approximate inverses on dense matrices, in plain torch: twin of `cpu.py`."""

import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor


def factored(A: Float[Tensor, "n n"], pattern: Bool[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Same as `approximate_inverse.factored`, on a pattern that is lower triangular in some order
    of the unknowns."""
    L = torch.zeros_like(A)
    for i, row in enumerate(pattern):
        J = row.nonzero()[:, 0]
        y = torch.linalg.solve(A[J][:, J], (i == J).to(A))
        L[i, J] = y / y[i == J].sqrt()
    return L


def inverse(
    A: Float[Tensor, "n n"],
    G: Float[Tensor, "n n"],
    scale: Float[Tensor, " n"],
    epsilon: float,
    steps: ndarray,
) -> Float[Tensor, "n n"]:
    """M as a matrix: the iteration of `chebyshev.coefficients` on the columns of the identity."""
    B, Y = G.T @ A @ G, torch.eye(len(A), dtype=A.dtype)
    D = Z = steps[0][0] * Y
    for first, carry in steps[1:]:
        D = carry * D + first * (Y - B @ Z)
        Z = Z + D
    inner = (1 - epsilon) * G @ Z @ G.T + epsilon * Y
    return scale[:, None] * inner * scale
