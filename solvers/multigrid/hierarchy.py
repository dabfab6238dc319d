"""The multigrid hierarchy of a `Diffusion`, which is passed to the kernels as arrays."""

import torch

from ...domain import Boundary, Placement
from ...kernels import blackbox, constant
from ...kernels.blackbox.layout import STRONG
from ...kernels.blackbox.sparsify import Shares, equal_shares
from ..operators.diffusion import Diffusion
from .cycle import CycleSpec
from .smoothers import DirectionalLines, strength

ALL_LEVELS = 64  # more levels than any hierarchy has


def hierarchy_of(
    A: Diffusion, spec: CycleSpec, shares: Shares | None = None, num_sparsified: int = 1
) -> blackbox.Hierarchy:
    """The levels of A for a cycle.

    For a constant coefficient, the Galerkin operators with all levels sparsified in equal shares
    are those of geometric multigrid, which stores nothing but fields.

    Args:
        shares: how the first `num_sparsified` coarse levels are sparsified
            (`kernels/blackbox/sparsify.py`); None: not at all.

    Raises:
        blackbox.NotPositiveDefiniteError: a level is not positive (semi)definite.
        ValueError: the coarsest level is too large, or the smoother is one of stencils.
    """
    if isinstance(spec.smoother, DirectionalLines):
        raise ValueError(f"{spec.smoother} smooths a Stencil; use LineGaussSeidel(axes) for {A}.")
    geometric = shares is None or (num_sparsified == ALL_LEVELS and shares is equal_shares)
    if geometric and constant.serves(A.device, A.dtype) and (problem := constant_problem(A, spec)):
        return constant.set_up(problem, torch.empty(0, dtype=A.dtype, device=A.device))
    return blackbox.set_up(
        system_of(A),
        spec.steps,
        lines=spec.lines(A),
        shares=shares,
        num_sparsified=num_sparsified,
    )


def system_of(A: Diffusion) -> blackbox.System:
    """A in the form that the kernels take."""
    periodic = [p and n > 1 for p, n in zip(A.periodic, A.grid.shape, strict=True)]
    return blackbox.System(A.faces, A.excess, periodic, strength(A), not A.positive_definite)


def constant_problem(A: Diffusion, spec: CycleSpec) -> constant.Constant | None:
    """A as a problem of geometric multigrid, or None if that method does not apply.

    It applies if the coefficient is constant, u = 0 at the boundary nodes, the spacings are similar
    and the grid can be halved at least once; the cycle must be V(1,1) with Gauss-Seidel by points.
    """
    grid = A.grid
    if A.constant is None or spec != CycleSpec() or A.ndim not in (2, 3):
        return None
    similar = min(grid.spacing) ** 2 >= STRONG * max(grid.spacing) ** 2
    problem = constant.Constant(*A.constant, grid.shape, grid.extent)
    return problem if zero_at_nodes(A) and similar and len(problem.halved()) > 1 else None


def zero_at_nodes(A: Diffusion) -> bool:
    """Whether u = 0 at the nodes next to the outermost unknowns, so that a constant coefficient
    couples all neighbours alike."""
    return all(
        b is Boundary.DIRICHLET and p is Placement.INTERIOR
        for b, p in zip(A.grid.boundary, A.grid.placement, strict=True)
    )


def system_on(A: Diffusion, device: torch.device, dtype: torch.dtype) -> blackbox.System:
    """`system_of(A)` on a device; the faces of a constant coefficient are one number with strides
    0, which kernels read from the cache."""
    strengths, singular = strength(A), not A.positive_definite
    periodic = [p and n > 1 for p, n in zip(A.periodic, A.grid.shape, strict=True)]
    if A.constant is None or not zero_at_nodes(A):
        faces = [f.detach().to(device, dtype) for f in A.faces]
        excess = None if A.excess is None else A.excess.detach().to(device, dtype)
        return blackbox.System(faces, excess, periodic, strengths, singular)
    a, c = A.constant
    shape = A.grid.shape
    values = torch.tensor([*(a / h**2 for h in A.grid.spacing), c], dtype=dtype).to(device)
    faces = [
        values[axis].expand([n + (b == axis) for b, n in enumerate(shape)])
        for axis in range(A.ndim)
    ]
    excess = values[-1].expand(shape) if c > 0 else None
    return blackbox.System(faces, excess, periodic, strengths, singular)
