"""Steady Darcy flow."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from .direct.sparse import solve_sparse
from .krylov.cg import cg
from .multigrid.multigrid import Multigrid
from .operators.diffusion import Diffusion
from .operators.faces import known_ends
from .result import SolveResult


def multigrid_cg(A: Diffusion, b: Float[Tensor, "x y"], rtol: float) -> SolveResult:
    """Conjugate gradients with one multigrid cycle as preconditioner."""
    return cg(A, b, M=Multigrid(A), rtol=rtol)


def direct(A: Diffusion, b: Float[Tensor, "x y"], rtol: float) -> SolveResult:
    """Sparse LU factorisation; `rtol` only determines `converged`."""
    return solve_sparse(A, b, rtol=rtol)


METHODS: dict[str, Callable[[Diffusion, Tensor, float], SolveResult]] = {
    "multigrid-cg": multigrid_cg,
    "direct": direct,
}


def solve_darcy(
    k: Float[Tensor, "x y"],
    f: Float[Tensor, "x y"],
    grid: Grid,
    *,
    rtol: float = 1e-10,
    method: str = "multigrid-cg",
) -> SolveResult:
    """Pressure p of steady Darcy flow, -div(k grad p) = f, with p = 0 on the boundary.

    Five-point finite volumes (`Diffusion`). k, f and p are given at all nodes of `grid`; p is zero
    at the boundary nodes, where f is not used. The computation is in float64 for every dtype
    of k and f: in float32 the residual on a 421 x 421 grid does not fall below 1e-3.

    Args:
        k: permeability, positive.
        f: source.
        grid: 2D, Dirichlet, end points stored.
        rtol: |f - A p| <= rtol |f| at the interior nodes.
        method: a key of `METHODS`.

    Raises:
        ValueError: the method is unknown, shapes differ, or k is not positive and finite.
    """
    if method not in METHODS:
        raise ValueError(f"Unknown method {method!r}; choose one of {', '.join(METHODS)}.")
    if grid.ndim != 2 or not all(known_ends(grid)):
        raise ValueError(
            f"solve_darcy needs a 2D grid with stored Dirichlet ends, as Grid((65, 65)) makes; got "
            f"{grid}. Use Diffusion, and cg with Multigrid, for other grids."
        )
    A = Diffusion(k.double(), grid)
    grid.check(f, "source")
    result = METHODS[method](A, f[1:-1, 1:-1].double().contiguous(), rtol)
    result.x = F.pad(result.x, (1, 1, 1, 1))
    return result
