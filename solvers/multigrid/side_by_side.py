"""Several systems on equal grids, solved together by multigrid and conjugate gradients."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..operators.diffusion import Diffusion
from ..operators.regions import Regions
from .multigrid_cg import MultigridCG


def solve_side_by_side(
    operators: Sequence[Diffusion],
    b: Float[Tensor, "m *space"],
    *,
    rtol: float,
    max_iterations: int = 200,
) -> Float[Tensor, "m *space"]:
    """x with |b_i - A_i x_i| <= rtol |b_i| for m systems that differ in their operator, by
    `MultigridCG` on their `block_diagonal` operator, on the device of the operators.

    A GPU needs many unknowns to be busy, and a hierarchy takes as many launches for a small system
    as for a large one. One residual decides for all systems, so the caller checks each of them:
    where round-off is the limit, or after `max_iterations`, a residual may be larger. The cycle has
    the precision of b, because coefficients with jumps may be beyond single precision.

    Raises:
        ValueError: `block_diagonal` cannot join the operators, shapes differ, or a b_i is zero.
    """
    A = block_diagonal(operators)
    rhs = b.reshape(A.grid.shape)
    solver = MultigridCG(A, precision=b.dtype)
    sizes = torch.linalg.vector_norm(b.flatten(1), dim=1)
    if not sizes.min() > 0:
        raise ValueError("A right-hand side is zero or not finite; leave its system out.")
    smallest = (sizes.min() / torch.linalg.vector_norm(sizes)).item()
    x = torch.zeros_like(rhs)
    # Errors that are spread evenly meet the first tolerance, errors of a single system the second.
    for tolerance in (rtol / 4, smallest * rtol):
        x = solver.solve(rhs, x0=x, rtol=tolerance, max_iterations=max_iterations).x
        r = torch.linalg.vector_norm((rhs - A @ x).view(b.shape).flatten(1), dim=1)
        if bool((r <= rtol * sizes).all()):
            break
    return x.view(b.shape)


def block_diagonal(operators: Sequence[Diffusion]) -> Diffusion:
    """diag(A_1, .., A_m) as one operator, with the m grids one after another along the first axis.

    A coupling to a known value at an end of that axis, where the next grid begins, becomes a
    reaction of its node: the face between two grids has no coupling.

    Raises:
        ValueError: the operators have different grids, periodic axes, solid nodes or a kernel.
    """
    first = operators[0]
    shape = first.grid.shape
    whole = Regions.whole(shape, definite=True)
    if any(A.grid != first.grid or any(A.periodic) or A.regions != whole for A in operators):
        raise ValueError(
            f"Operators are joined if they are positive definite on equal grids, without periodic "
            f"axes and solid nodes; got {', '.join(map(str, operators))}. Solve them one by one."
        )
    along = torch.stack([A.faces[0].detach() for A in operators])
    none = along.new_zeros(shape)
    excess = torch.stack([none if A.excess is None else A.excess.detach() for A in operators])
    excess[1:, 0] += along[1:, 0]
    excess[:-1, -1] += along[:-1, -1]
    inner = along[:, :-1].clone()
    inner[1:, 0] = 0
    faces = [torch.cat([inner.flatten(0, 1), along[-1, -1:]])]
    faces += [
        torch.cat([A.faces[axis].detach() for A in operators]) for axis in range(1, len(shape))
    ]
    grid = first.grid.with_shape((len(operators) * shape[0], *shape[1:]))
    bounds = min(A.bounds[0] for A in operators), max(A.bounds[1] for A in operators)
    regions = Regions.whole(grid.shape, definite=True)
    return Diffusion.of_checked(faces, grid, excess.flatten(0, 1), bounds, regions)
