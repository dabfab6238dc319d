"""Ritz vectors of a symmetric operator by Lanczos."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator


def ritz_pairs(
    A: LinearOperator, start: Float[Tensor, "*space"], num_vectors: int
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m *space"]]:
    """Ritz values θ, ascending, and orthonormal Ritz vectors v of the Krylov space of A and start.

    A v ≈ θ v in the sense that A v - θ v is orthogonal to the space; the ends of the spectrum
    converge first. Lanczos with every new vector orthogonalised twice against all before (Saad
    2011, sec. 6.6). Values at round-off level, the kernel of A, are left out. Memory: 2 num_vectors
    fields, work num_vectors² dot products; for more vectors than that allows, start again from
    another field. Fewer come back where the space is exhausted.
    """
    q = A.project(start)
    basis, alphas, betas = [q / q.norm()], [], []
    for _ in range(num_vectors):
        q = basis[-1]
        w = A @ q
        alphas.append((w * q).sum())
        Q = torch.stack(basis).flatten(1)
        flat = w.flatten()
        for _ in range(2):
            flat = flat - Q.T @ (Q @ flat)
        beta = flat.norm()
        if len(basis) == num_vectors or beta <= 1e-12 * alphas[-1].abs():
            break
        betas.append(beta)
        basis.append((flat / beta).reshape(q.shape))
    T = torch.diag(torch.stack(alphas))
    if betas:
        side = torch.stack(betas)
        T = T + torch.diag(side, 1) + torch.diag(side, -1)
    theta, S = torch.linalg.eigh(T)
    kept = theta > 1e-8 * theta[-1]
    vectors = S[:, kept].T @ torch.stack(basis).flatten(1)
    return theta[kept], vectors.reshape(-1, *start.shape)
