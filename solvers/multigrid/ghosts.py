"""Preconditioner for matrices with ghost rows, by block elimination of the ghosts."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Boundary, Grid, Placement
from ...linop import LinearOperator, Preconditioner
from ..direct.dst import FastPoisson
from ..operators.diffusion import Diffusion
from ..operators.recognise import Structure
from .multigrid import Multigrid


class GhostElimination(Preconditioner):
    """M ≈ A⁻¹ for the `operator` of a `Structure`, from a preconditioner of its `inner` operator.

    With I the inner nodes, G the ghosts, and c (u_G - u_I) = b_G the rows of the ghosts,

        b_S = b_I + Σ b_G over the ghosts of a node,   x_I = M_S b_S,   x_G = x_I + b_G / c.

    This is block elimination: M is exact if M_S is, and symmetric positive definite if M_S is. If
    the couplings are constant and the inner nodes fill a box, M_S is `FastPoisson`, which is exact:
    M @ b is a direct solution, and any Krylov method with M ends after one or two iterations.
    Otherwise M_S is a cycle of `Multigrid`.

    If A is singular, b is projected on its range, and x has no component in its kernel.

    Computed in float64 on the CPU; leading axes are a batch.

    Args:
        structure: the result of `recognise`.
        inner: M_S, if not the default.

    Raises:
        ValueError: nothing was recognised, or `inner` is for another grid.
    """

    def __init__(self, structure: Structure, inner: LinearOperator | None = None) -> None:
        A, S = structure.operator, structure.inner
        if A is None or S is None:
            raise ValueError(
                f"No stencil was recognised: {structure.reason}. Take IncompleteCholesky or "
                f"RugeStueben of Matrix(A), or solve_sparse."
            )
        self.grid, self.structure = A.grid, structure
        self.positive_definite, self.semidefinite = A.positive_definite, True
        self._inside: tuple[Any, ...] = (...,)  # the nodes on which M_S acts
        if inner is None:
            inner = self._spectral_inverse(S) or Multigrid(S)
        elif inner.grid.shape != A.grid.shape:
            raise ValueError(
                f"M for the inner nodes acts on fields of shape {inner.grid.shape}, A on "
                f"{A.grid.shape}; build it from structure.inner."
            )
        self.inner = inner

    def _spectral_inverse(self, S: Diffusion) -> FastPoisson | None:
        """The spectral inverse of S on its box, None if S is not constant on a box."""
        box, coupling = self.structure.box, self.structure.coupling
        if not self.structure.constant_on_box or box is None or coupling is None:
            return None
        grid = _grid_of(S, box)
        regular = Diffusion(coupling, grid)
        for axis, faces in enumerate(S.faces):
            for other, (first, last) in enumerate(box):
                faces = faces.narrow(other, first, last - first + 1 + (other == axis))
            if not torch.allclose(faces, regular.faces[axis], rtol=1e-12, atol=0):
                return None
        self._inside = (..., *(slice(first, last + 1) for first, last in box))
        return FastPoisson(grid, coefficient=coupling)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype and on its device; it carries no gradient."""
        A, S = self.structure.operator, self.structure.inner
        assert A is not None
        assert S is not None
        b = A.project(u.detach().cpu().double())
        x = torch.zeros_like(b)
        x[self._inside] = self.inner @ S.project(self.structure.reduce(b))[self._inside]
        return A.project(self.structure.extend(x, b)).to(u)

    def __repr__(self) -> str:
        assert self.structure.ghosts is not None
        return f"GhostElimination({int(self.structure.ghosts.sum())} ghosts, {self.inner})"


def _grid_of(S: Diffusion, box: tuple[tuple[int, int], ...]) -> Grid:
    """The grid of unit spacing whose boundary conditions fit the couplings at two corners."""
    shape, extent, boundary, placement = [], [], [], []
    corners = [tuple(ends[side] for ends in box) for side in (0, 1)]
    for axis, (first, last) in enumerate(box):
        n = last - first + 1
        beyond = [list(corner) for corner in corners]
        beyond[1][axis] += 1
        open_ = all(S.faces[axis][tuple(where)] > 0 for where in beyond)
        periodic = open_ and S.periodic[axis]
        shape.append(n)
        if periodic:
            sides = Boundary.PERIODIC, Placement.LEFT
        elif open_:
            sides = Boundary.DIRICHLET, Placement.INTERIOR
        else:
            sides = Boundary.NEUMANN, Placement.CENTERS
        boundary.append(sides[0])
        placement.append(sides[1])
        extent.append(float(n + (open_ and not periodic)))
    return Grid(shape, extent, boundary, placement)
