"""Algebraic multigrid of PyAMG with its own cycle, for comparison with ours (`algebraic.py`)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator, Preconditioner
from ..direct.sparse import regular
from ..krylov.loop import knows_range


class _AlgebraicMultigrid(Preconditioner):
    """M ≈ A⁻¹: one V(1,1) cycle of a hierarchy of PyAMG, in float64 on the CPU.

    The smoother is symmetric Gauss-Seidel (PyAMG's default), so M is symmetric. If A is singular
    and has known regions, the hierarchy is that of a regular matrix (`direct.sparse.regular`),
    because coarse levels of a matrix with a large kernel are not positive definite; M is then
    P M P, with P the projection on the range.
    """

    constructor: str

    def __init__(self, A: LinearOperator, **options: Any) -> None:
        import pyamg
        import scipy.sparse

        if not A.symmetric:
            raise ValueError(
                f"{type(self).__name__} needs a symmetric A; {type(A).__name__} declares "
                f"symmetric=False."
            )
        self.grid = A.grid
        self._project = A.project if knows_range(A) else None
        matrix = regular(A)
        empty = (matrix.diagonal() == 0).astype("float64")
        if empty.any():  # solid nodes: the identity there
            matrix = matrix + scipy.sparse.diags_array(empty)
        self.hierarchy = getattr(pyamg, self.constructor)(
            scipy.sparse.csr_matrix(matrix), **options
        )
        self._cycle = self.hierarchy.aspreconditioner(cycle="V")

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype; it carries no gradient."""
        b = u.detach().double().cpu()
        b = self._project(b) if self._project else b
        x = torch.empty_like(b, memory_format=torch.contiguous_format)
        flat = x.view(-1, self.grid.num_nodes).numpy()
        for field, result in zip(b.reshape(flat.shape).numpy(), flat, strict=True):
            result[:] = self._cycle.matvec(field)
        return (self._project(x) if self._project else x).to(u)

    def __repr__(self) -> str:
        sizes = " > ".join(str(level.A.shape[0]) for level in self.hierarchy.levels)
        return f"{type(self).__name__}({sizes})"


class RugeStueben(_AlgebraicMultigrid):
    """M ≈ A⁻¹ by classical algebraic multigrid (Ruge & Stüben 1987).

    For M-matrices such as `Diffusion`: the strongest solver of PyAMG for scalar problems, including
    jumps and anisotropy. Keywords are passed to `pyamg.ruge_stuben_solver`.

    Raises:
        ValueError: A is not symmetric.
    """

    constructor = "ruge_stuben_solver"


class SmoothedAggregation(_AlgebraicMultigrid):
    """M ≈ A⁻¹ by smoothed aggregation (Vaněk, Mandel, Brezina 1996).

    Needs less memory than `RugeStueben` in three dimensions; weak on anisotropy unless the strength
    of connection is tuned. Keywords are passed to `pyamg.smoothed_aggregation_solver`.

    Raises:
        ValueError: A is not symmetric.
    """

    constructor = "smoothed_aggregation_solver"
