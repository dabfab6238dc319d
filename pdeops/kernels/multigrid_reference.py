"""Black-box multigrid (Dendy 1982) for -div(a grad u) on a 2D grid, in plain torch: to be read.

Twin of `multigrid.py`, which fuses these steps. Runs on any device and dtype, over leading batch
axes.

**Nodes.** n x m unknowns have indices (i, j), 1 <= i <= n, 1 <= j <= m; i = 0 and i = n+1 (and j
alike) are boundary nodes, where u = 0. Fields are stored with their boundary, and with one more row
(column) of zeros where n (m) is even, so that an axis stores 2 (n // 2) + 3 nodes and coarse cells
tile it.

**Operators.** A is the graph Laplacian of the grid, boundary nodes included: couplings c >= 0
between neighbours and (A u)_i = sum_j c_ij (u_i - u_j). Four arrays hold all nine points of a
symmetric stencil: cx (i,j)-(i+1,j), cy (i,j)-(i,j+1), cd (i,j)-(i+1,j+1), ca (i+1,j)-(i,j+1). Row
sums are zero on every level, since interpolation keeps constants and coarse operators are Pᵀ A P;
what an unknown loses to the boundary is its coupling to boundary nodes.

**Coarse nodes** are those with even i and j, N = n // 2 per axis; any n works. Colours, by (i, j)
modulo 2: (0, 0) coarse nodes, (1, 1) centres of coarse cells, (1, 0) and (0, 1) lines between
coarse nodes.

**Interpolation** takes its weights from A: on lines from the stencil summed across the line
(Alcouffe, Brandt, Dendy, Painter 1981), at centres from A u = 0. So it follows jumps of the
coefficient.

**Cycle.** Gauss-Seidel by colours in the order above, residual restricted by R = Pᵀ, corrections
prolonged by P, Gauss-Seidel in the reversed order: symmetric, and positive definite because
S + Sᵀ - Sᵀ A S is (Gauss-Seidel is convergent). On five-point stencils this is red-black. The
coarsest level is solved by Cholesky.

Capital letters belong to the coarser level.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

COARSEST = 8  # an axis with at most this many unknowns ends the coarsening
COLOURS = ((0, 0), (1, 1), (1, 0), (0, 1))

# couplings[d][i, j] is between the nodes (i, j) and (i, j) + d
Couplings = dict[tuple[int, int], Tensor]


@dataclass(frozen=True)
class Transfer:
    """Weights of P. The other weight of a line node is 1 - p or 1 - q.

    Attributes:
        p: weight of (2I, 2J) at the node (2I, 2J+1).
        q: weight of (2I, 2J) at the node (2I+1, 2J).
        w: weights of (2I, 2J), (2I, 2J+2), (2I+2, 2J), (2I+2, 2J+2) at the node (2I+1, 2J+1).
    """

    p: Float[Tensor, "*b N+2 M+1"]
    q: Float[Tensor, "*b N+1 M+2"]
    w: tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Level:
    """One grid of n x m unknowns.

    Attributes:
        couplings: of every node, boundary nodes included.
        r: 1 / diagonal; zero at boundary nodes.
        transfer: P from the next coarser level; None on the coarsest.
        factor: Cholesky factor of A, on the coarsest.
    """

    n: int
    m: int
    couplings: Couplings
    r: Float[Tensor, "*b i j"]
    transfer: Transfer | None = None
    factor: Tensor | None = None


def padded(n: int) -> int:
    """Stored nodes of an axis with n unknowns."""
    return 2 * (n // 2) + 3


def pad(u: Float[Tensor, "*b n m"]) -> Float[Tensor, "*b i j"]:
    """Interior values with the boundary and filling around them."""
    n, m = u.shape[-2:]
    return F.pad(u, (1, padded(m) - m - 1, 1, padded(n) - n - 1))


def from_faces(
    fx: Float[Tensor, "*b n+1 m"], fy: Float[Tensor, "*b n m+1"]
) -> tuple[Float[Tensor, "*b i j"], Float[Tensor, "*b i j"]]:
    """Couplings cx, cy of the finest level from those at the faces (`diffusion_reference.py`)."""
    n, m = fy.shape[-2], fx.shape[-1]
    rows, cols = padded(n), padded(m)
    return (
        F.pad(fx, (1, cols - m - 1, 0, rows - n - 1)),
        F.pad(fy, (0, cols - m - 1, 1, rows - n - 1)),
    )


def symmetric(cx: Tensor, cy: Tensor, cd: Tensor | None, ca: Tensor | None) -> Couplings:
    """Couplings in every direction from one array per pair of opposite ones.

    The last rows and columns of the arrays are zero, so what is rolled around vanishes.
    """
    c = {(1, 0): cx, (-1, 0): cx.roll(1, -2), (0, 1): cy, (0, -1): cy.roll(1, -1)}
    if cd is not None and ca is not None:
        c |= {(1, 1): cd, (-1, -1): cd.roll((1, 1), (-2, -1))}
        c |= {(1, -1): ca.roll(1, -1), (-1, 1): ca.roll(1, -2)}
    return c


def neighbours(u: Tensor, couplings: Couplings) -> Tensor:
    """Sum over the neighbours of each node of coupling times value."""
    return sum((c * u.roll((-d[0], -d[1]), (-2, -1)) for d, c in couplings.items()), 0 * u)


def laplacian(u: Tensor, couplings: Couplings) -> Tensor:
    """A u at all nodes, boundary included."""
    return sum(couplings.values()) * u - neighbours(u, couplings)


def interpolation(n: int, m: int, couplings: Couplings) -> Transfer:
    """P from the couplings of the finer level."""

    def share(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(a + b > 0, a / (a + b), 0.5)

    def toward(axis: int, sign: int) -> Tensor:
        return sum(c for d, c in couplings.items() if d[axis] == sign)  # type: ignore[return-value]

    p = share(toward(1, -1), toward(1, 1))[..., 0::2, 1::2]
    q = share(toward(0, -1), toward(0, 1))[..., 1::2, 0::2]
    p[..., [0, -1], :] = 0.5  # on the boundary itself, where it does not matter
    q[..., [0, -1]] = 0.5
    # Where n is even, the nodes n+1 are boundary nodes and take the value of those beyond.
    if n % 2 == 0:
        q[..., -1, 1:-1] = 0
    if m % 2 == 0:
        p[..., 1:-1, -1] = 0

    c = {d: x[..., 1::2, 1::2] for d, x in couplings.items()}
    line = {
        (-1, 0): (p[..., :-1, :], (-1, -1), (-1, 1)),
        (1, 0): (p[..., 1:, :], (1, -1), (1, 1)),
        (0, -1): (q[..., :-1], (-1, -1), (1, -1)),
        (0, 1): (q[..., 1:], (-1, 1), (1, 1)),
    }
    v = {corner: c.get(corner, torch.zeros_like(c[1, 0])) for corner in line_corners()}
    for d, (weight, first, second) in line.items():
        v[first] = v[first] + c[d] * weight
        v[second] = v[second] + c[d] * (1 - weight)
    total = sum(v.values())
    w = {corner: x / total for corner, x in v.items()}
    for corner, x in w.items():
        if n % 2 == 0:
            x[..., -1, :] = 0.5 if corner[0] == 1 else 0
        if m % 2 == 0:
            x[..., :, -1] = 0.5 if corner[1] == 1 else 0
        if n % 2 == 0 and m % 2 == 0:
            x[..., -1, -1] = 1 if corner == (1, 1) else 0
    return Transfer(p, q, (w[-1, -1], w[-1, 1], w[1, -1], w[1, 1]))


def line_corners() -> tuple[tuple[int, int], ...]:
    """Directions from a centre to the coarse nodes around it."""
    return ((-1, -1), (-1, 1), (1, -1), (1, 1))


def prolong(U: Tensor, P: Transfer, n: int, m: int) -> Tensor:
    """P U on the finer level of n x m unknowns, at all nodes."""
    N, M = n // 2, m // 2
    U = U[..., : N + 2, : M + 2]
    u = U.new_zeros(*U.shape[:-2], padded(n), padded(m))
    u[..., 0::2, 0::2] = U
    u[..., 0::2, 1::2] = P.p * U[..., :-1] + (1 - P.p) * U[..., 1:]
    u[..., 1::2, 0::2] = P.q * U[..., :-1, :] + (1 - P.q) * U[..., 1:, :]
    w00, w01, w10, w11 = P.w
    u[..., 1::2, 1::2] = (
        w00 * U[..., :-1, :-1]
        + w01 * U[..., :-1, 1:]
        + w10 * U[..., 1:, :-1]
        + w11 * U[..., 1:, 1:]
    )
    return u


def restrict(u: Tensor, P: Transfer, n: int, m: int) -> Tensor:
    """Pᵀ u on the coarser level, at all nodes."""
    N, M = n // 2, m // 2
    B = u.new_zeros(*u.shape[:-2], padded(N), padded(M))
    B[..., : N + 2, : M + 2] = u[..., 0::2, 0::2]
    x, y, c = u[..., 1::2, 0::2], u[..., 0::2, 1::2], u[..., 1::2, 1::2]
    B[..., : N + 2, : M + 1] += P.p * y
    B[..., : N + 2, 1 : M + 2] += (1 - P.p) * y
    B[..., : N + 1, : M + 2] += P.q * x
    B[..., 1 : N + 2, : M + 2] += (1 - P.q) * x
    w00, w01, w10, w11 = P.w
    B[..., : N + 1, : M + 1] += w00 * c
    B[..., : N + 1, 1 : M + 2] += w01 * c
    B[..., 1 : N + 2, : M + 1] += w10 * c
    B[..., 1 : N + 2, 1 : M + 2] += w11 * c
    return B


def galerkin(couplings: Couplings, P: Transfer, n: int, m: int) -> Couplings:
    """Couplings of Pᵀ A P, read off from its action on nine combs of coarse nodes.

    Coarse nodes three apart share no neighbour, so a comb shows one entry of each row.
    """
    rows, cols = padded(n // 2), padded(m // 2)
    cx, cy, cd, ca = (P.q.new_zeros(*P.q.shape[:-2], rows, cols) for _ in range(4))
    for a in range(3):
        for b in range(3):
            comb = P.q.new_zeros(*P.q.shape[:-2], rows, cols)
            comb[..., a::3, b::3] = 1
            y = -restrict(laplacian(prolong(comb, P, n, m), couplings), P, n, m)
            i, j = (a - 1) % 3, (b - 1) % 3  # the rows and columns before those of the comb
            cx[..., i::3, b::3] = y[..., i::3, b::3]
            cy[..., a::3, j::3] = y[..., a::3, j::3]
            cd[..., i::3, j::3] = y[..., i::3, j::3]
            ca[..., i::3, b::3] = F.pad(y[..., 1:], (0, 1))[..., i::3, b::3]
    return symmetric(cx, cy, cd, ca)


def relax(u: Tensor, b: Tensor, level: Level, colour: tuple[int, int]) -> None:
    """Gauss-Seidel in place at the interior nodes of one colour, which are no neighbours."""

    def at(x: Tensor, di: int = 0, dj: int = 0) -> Tensor:
        i, j = (2 if c == 0 else 1 for c in colour)
        return x[..., i + di : level.n + 1 + di : 2, j + dj : level.m + 1 + dj : 2]

    at(u).copy_(at(level.r) * (at(b) + sum(at(c) * at(u, *d) for d, c in level.couplings.items())))


def residual(u: Tensor, b: Tensor, level: Level) -> Tensor:
    """b - A u at interior nodes, zero at the others."""
    return pad((b - laplacian(u, level.couplings))[..., 1 : level.n + 1, 1 : level.m + 1])


def factorise(couplings: Couplings, n: int, m: int) -> Tensor:
    """Cholesky factor of A on all its unknowns.

    Raises:
        ValueError: the level has more unknowns than a dense matrix should.
        torch.linalg.LinAlgError: A is not positive definite.
    """
    if n * m > 4096:
        raise ValueError(
            f"The coarsest level has {n} x {m} unknowns, too many for a dense factor. "
            f"Elongated grids need the numba cycle: float32 or float64, on the CPU."
        )
    c = couplings[1, 0]
    basis = torch.eye(n * m, dtype=c.dtype, device=c.device).reshape(n * m, n, m)
    columns = {d: x.unsqueeze(-3) for d, x in couplings.items()}
    A = laplacian(pad(basis), columns)[..., 1 : n + 1, 1 : m + 1].flatten(-2)
    return torch.linalg.cholesky(A)


def setup(cx: Float[Tensor, "*b i j"], cy: Float[Tensor, "*b i j"], n: int, m: int) -> list[Level]:
    """All levels, finest first, from the couplings of the finest."""
    levels: list[Level] = []
    couplings = symmetric(cx, cy, None, None)
    while True:
        inverse = 1 / sum(couplings.values())[..., 1 : n + 1, 1 : m + 1]  # type: ignore[index]
        if min(n, m) <= COARSEST:
            factor = factorise(couplings, n, m)
            return [*levels, Level(n, m, couplings, pad(inverse), factor=factor)]
        P = interpolation(n, m, couplings)
        levels.append(Level(n, m, couplings, pad(inverse), transfer=P))
        couplings = galerkin(couplings, P, n, m)
        n, m = n // 2, m // 2


def descend(b: Tensor, level: Level, P: Transfer) -> tuple[Tensor, Tensor]:
    """u from zero by one sweep, and the restricted residual, which is zero on the boundary."""
    u = torch.zeros_like(b)
    for colour in COLOURS:
        relax(u, b, level, colour)
    N, M = level.n // 2, level.m // 2
    B = restrict(residual(u, b, level), P, level.n, level.m)
    return u, pad(B[..., 1 : N + 1, 1 : M + 1])


def ascend(u: Tensor, b: Tensor, level: Level, P: Transfer, U: Tensor) -> Tensor:
    """u corrected by P U, then one sweep in reversed order."""
    u = u + prolong(U, P, level.n, level.m)
    for colour in reversed(COLOURS):
        relax(u, b, level, colour)
    return u


def solve_coarsest(b: Tensor, level: Level) -> Tensor:
    """A⁻¹ b by the Cholesky factor."""
    assert level.factor is not None
    interior = b[..., 1 : level.n + 1, 1 : level.m + 1]
    flat = interior.flatten(-2).unsqueeze(-1)
    return pad(torch.cholesky_solve(flat, level.factor).reshape(interior.shape))


def cycle(b: Float[Tensor, "*b n m"], levels: list[Level]) -> Float[Tensor, "*b n m"]:
    """M b: one symmetric V(1,1) cycle from zero."""

    def v(b: Tensor, depth: int) -> Tensor:
        level = levels[depth]
        if level.transfer is None:
            return solve_coarsest(b, level)
        u, B = descend(b, level, level.transfer)
        return ascend(u, b, level, level.transfer, v(B, depth + 1))

    finest = levels[0]
    return v(pad(b), 0)[..., 1 : finest.n + 1, 1 : finest.m + 1]
