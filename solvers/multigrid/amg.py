"""Algebraic multigrid of PyAMG with its own cycle, for comparison with ours (`algebraic.py`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator, Preconditioner
from ..direct.sparse import regular
from ..krylov.loop import knows_range


class _AlgebraicMultigrid(Preconditioner):
    """M ≈ A⁻¹: one cycle of a hierarchy of PyAMG, in float64 on the CPU; by default a V(1,1) cycle.

    The smoother is symmetric Gauss-Seidel (PyAMG's default), so M is symmetric. If A is singular
    and has known regions, the hierarchy is that of a regular matrix (`direct.sparse.regular`),
    because coarse levels of a matrix with a large kernel are not positive definite; M is then
    P M P, with P the projection on the range. One matrix has one hierarchy: PyAMG's estimates of
    spectral radii begin with the same vectors each time.

    Args:
        A: the operator.
        cycle: "V" or "W".
        block: unknowns per node, numbered node by node. If there are several, the matrix is passed
            in blocks, and the near-null space is by default the constants of each unknown.
        options: passed to PyAMG.
    """

    constructor: str

    def __init__(
        self, A: LinearOperator, *, cycle: str = "V", block: int = 1, **options: Any
    ) -> None:
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
        matrix = scipy.sparse.csr_matrix(matrix)
        # PyAMG has loops for this type only.
        index = (matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
        matrix = scipy.sparse.csr_matrix((matrix.data, *index), shape=matrix.shape)
        if block > 1:
            options.setdefault("B", np.kron(np.ones((matrix.shape[0] // block, 1)), np.eye(block)))
            matrix = matrix.tobsr((block, block))
        with _same_random_numbers():
            self.hierarchy = getattr(pyamg, self.constructor)(matrix, **options)
        self._cycle = self.hierarchy.aspreconditioner(cycle=cycle)

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


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """numpy's global random numbers, which PyAMG draws from, begin at a fixed seed in this block;
    their state is then that of before."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
