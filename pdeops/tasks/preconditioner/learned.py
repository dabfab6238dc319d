"""Learned preconditioners of finished runs, for conjugate gradients of scipy and pdeops."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...linop import LinearOperator, check_spd
from ...solvers import Diffusion, recognise
from .loading import load_correction

if TYPE_CHECKING:
    import scipy.sparse.linalg


class NotForCGError(ValueError):
    """The network is not symmetric positive definite, as plain conjugate gradients require; use it
    with `deep_conjugate_direction`."""


def load_preconditioner(run: str | Path, A: Any) -> "scipy.sparse.linalg.LinearOperator":
    """The learned M ≈ A⁻¹ of a run on flat float64 vectors: `scipy.sparse.linalg.cg(A, b, M=M)`.

    Args:
        run: a run's folder, a checkpoint, or the name of shipped weights.
        A: a `Diffusion` or `Laplacian`, or a sparse matrix of scipy in which `recognise` finds a
            stencil on a grid.

    Raises:
        ValueError: the file is not a pdeops checkpoint (nothing is ever unpickled), the run has
            another task, the network has another number of axes or is not SPD, or the matrix is not
            a stencil on a grid.
    """
    return learned_preconditioner(run, stencil(A)).to_scipy()


def learned_preconditioner(run: str | Path, A: Diffusion) -> LinearOperator:
    """The learned M ≈ A⁻¹ of a run as an operator on fields, for `solvers.cg`.

    A network that is not symmetric positive definite by construction is probed by `check_spd`.

    Raises:
        NotForCGError: the network fails the probe.
        ValueError: as for `load_preconditioner`.
    """
    model: Any = load_correction(run)
    if model.ndim != A.grid.ndim:
        raise ValueError(
            f"{run} was trained for {model.ndim} axes; A has {A.grid.ndim}, "
            f"{' x '.join(map(str, A.grid.shape))} unknowns. Train one with ndim = {A.grid.ndim}, "
            f"or use solvers.Multigrid(A)."
        )
    M = model.on(A)
    if isinstance(M, LinearOperator):
        return M
    M = Correction(M, A)
    try:
        check_spd(M, rtol=1e-5)  # the network computes in float32
    except ValueError as error:
        raise NotForCGError(
            f"{run} holds a {type(model).__name__}, which cannot precondition plain CG: "
            f"{error} deep_conjugate_direction(A, b, load_correction(run).on(A)) accepts it."
        ) from None
    return M


def stencil(A: Any) -> Diffusion:
    """A itself, or the operator on a grid that a sparse matrix of scipy represents.

    Raises:
        ValueError: A is neither a `Diffusion` nor a matrix in which `recognise` finds a stencil.
    """
    import scipy.sparse

    if isinstance(A, Diffusion):
        return A
    if not scipy.sparse.issparse(A):
        raise ValueError(
            f"A learned preconditioner reads the couplings of a Diffusion operator, or those in a "
            f"sparse matrix of scipy; got {type(A).__name__}."
        )
    found = recognise(A)
    if found.operator is None:
        raise ValueError(
            f"A learned preconditioner needs a stencil on a grid with couplings a_ij <= 0 along "
            f"the axes; this matrix is not one: {found.reason}. SmoothedAggregation(Matrix(A)) and "
            f"IncompleteCholesky(Matrix(A)) of pdeops.solvers accept any matrix."
        )
    if found.embedding is not None:
        raise ValueError(
            f"The rows of this matrix are {len(found.embedding)} of the "
            f"{found.operator.grid.num_nodes} nodes of a grid; a learned preconditioner acts on "
            f"all. Use found = recognise(A), found.operator, and found.embed and found.extract."
        )
    return found.operator


class Correction(LinearOperator):
    """A map of residuals (b, 1, *space) to corrections as a `LinearOperator`, for `check_spd`."""

    symmetric = positive_definite = True

    def __init__(self, correction: Any, A: Diffusion) -> None:
        self.correction, self.grid = correction, A.grid

    @torch.no_grad()
    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        r = u.reshape(-1, 1, *self.grid.shape)
        if isinstance(self.correction, nn.Module):
            r = r.to(next(self.correction.parameters()))
        return self.correction(r).to(u).reshape(u.shape)
