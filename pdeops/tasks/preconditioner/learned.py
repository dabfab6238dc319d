"""Learned preconditioners of finished runs, for conjugate gradients of scipy and pdeops."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...domain import Grid
from ...linop import LinearOperator, Preconditioner, check_spd
from ...solvers import Diffusion, recognise
from ...solvers.operators.recognise import Structure
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
        A: a `Diffusion` or `Laplacian`, or a sparse matrix of scipy. A network for grids needs one
            in which `recognise` finds a stencil; nodes may be missing. A network for matrices
            (`GraphInverse`, `LearnedAggregation`) takes any symmetric matrix with a positive
            diagonal; it assumes that the matrix is positive definite, and logs a note if its kind
            is far from those in training.

    Raises:
        ValueError: the file is not a pdeops checkpoint (nothing is ever unpickled), the run has
            another task, the network has another number of axes or is not SPD, or the matrix is not
            a stencil on a grid and the network needs one.
    """
    if is_for_matrices(run):
        return learned_preconditioner(run, as_matrix(A)).to_scipy()
    if isinstance(A, Diffusion):
        return learned_preconditioner(run, A).to_scipy()
    operator, found = stencil(A)
    M = learned_preconditioner(run, operator)
    return (M if found.embedding is None else OnUnknowns(M, found)).to_scipy()


def is_for_matrices(run: str | Path) -> bool:
    """Whether the network of a run takes any sparse matrix, not only stencils on a grid."""
    return getattr(load_correction(run), "for_matrices", False)


def as_matrix(A: Any) -> LinearOperator:
    """A sparse matrix, or an operator with one, as an operator on vectors; symmetric, and assumed
    positive definite.

    Raises:
        ValueError: A is not symmetric, or its diagonal shows that it is not positive definite.
    """
    from ...solvers.choice.system import System

    return System.of(A.to_csr() if isinstance(A, LinearOperator) else A).matrix


def learned_preconditioner(run: str | Path, A: LinearOperator) -> LinearOperator:
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


def stencil(A: Any) -> tuple[Diffusion, Structure]:
    """The operator on a grid that a sparse matrix of scipy represents, and the structure.

    Raises:
        ValueError: A is no sparse matrix, or `recognise` finds no stencil in it.
    """
    import scipy.sparse

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
    return found.operator, found


class OnUnknowns(Preconditioner):
    """Eᵀ M E for M on all nodes of a grid; E sets nodes that are no unknowns to zero.

    Args:
        M: on the grid of `found.operator`.
        found: the structure of a matrix whose rows are some of the nodes.
    """

    def __init__(self, M: LinearOperator, found: Structure) -> None:
        self.M, self.found = M, found
        num_rows = found.extract(torch.empty(M.grid.shape)).numel()
        self.grid = Grid((num_rows,), placement="interior")

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """Eᵀ M E u."""
        return self.found.extract(self.M.apply(self.found.embed(u)))


class Correction(LinearOperator):
    """A map of residuals (b, 1, *space) to corrections as a `LinearOperator`, for `check_spd`."""

    symmetric = positive_definite = True

    def __init__(self, correction: Any, A: LinearOperator) -> None:
        self.correction, self.grid = correction, A.grid

    @torch.no_grad()
    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        r = u.reshape(-1, 1, *self.grid.shape)
        if isinstance(self.correction, nn.Module):
            r = r.to(next(self.correction.parameters()))
        return self.correction(r).to(u).reshape(u.shape)
