"""The operator -Δ on a box: `Diffusion` with the coefficient one."""

from ...domain import Grid
from .diffusion import Diffusion


class Laplacian(Diffusion):
    """A u = -Δu integrated over the cell of each node, per volume of a whole cell.

    Along one axis, with u = 0 at the ends of a Dirichlet axis and no flux through those of a
    Neumann axis, whose stored end nodes are unknowns with half a cell:

        (T u)_i = (2 u_i - u_(i-1) - u_(i+1)) / h²,    (T u)_0 = (u_0 - u_1) / h²  (Neumann)

    and A = Σ_a T_a Π_(b≠a) s_b, s the fraction of a cell that belongs to the node: 1, and ½ at a
    stored Neumann end. A / s is the second difference with mirrored ghost nodes, which is symmetric
    under the weights s of the trapezoidal rule only. `Diffusion` describes other boundaries and
    the properties of A.

    Args:
        grid: A acts on fields of `grid.interior`.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(1.0, grid)
