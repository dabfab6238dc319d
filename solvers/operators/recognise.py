"""Recognition of a three-, five- or seven-point stencil in a sparse matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...domain import Grid
from .diffusion import Diffusion

if TYPE_CHECKING:
    import scipy.sparse


@dataclass(frozen=True)
class Structure:
    """Result of `recognise`.

    Attributes:
        reason: the kind of matrix, or why it is not a stencil.
        operator: the same matrix as an operator on a grid of unit spacing, or None.
        ghosts: nodes coupled to a single neighbour, whose rows c (u_ghost - u_inner) = b_ghost
            prescribe the flux through a wall.
        inner: the operator without its ghosts, which are solid nodes in it.
        coupling: the value of all couplings of `inner` if they are equal, or None.
        box: the first and the last node of `inner` per axis if its nodes fill a box, or None.
    """

    reason: str
    operator: Diffusion | None = None
    ghosts: Bool[Tensor, "*space"] | None = None
    inner: Diffusion | None = None
    coupling: float | None = None
    box: tuple[tuple[int, int], ...] | None = None

    def reduce(self, b: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """The right-hand side for `inner`: b at a ghost is added to b at its neighbour."""
        operator, ghosts = self._both()
        moved = torch.where(ghosts, b, 0)
        return torch.where(ghosts, 0, b) + _gather(moved, operator, weighted=False)

    def extend(
        self, x: Float[Tensor, "*batch_space"], b: Float[Tensor, "*batch_space"]
    ) -> Float[Tensor, "*batch_space"]:
        """The solution at all nodes from that of `inner`: u_ghost = u_inner + b_ghost / c."""
        operator, ghosts = self._both()
        c = operator.diagonal()
        at_ghosts = (_gather(torch.where(ghosts, 0, x), operator, weighted=True) + b) / c
        return torch.where(ghosts, at_ghosts, x)

    def _both(self) -> tuple[Diffusion, Tensor]:
        if self.operator is None or self.ghosts is None:
            raise ValueError(f"No stencil was recognised: {self.reason}")
        return self.operator, self.ghosts


def recognise(
    matrix: "scipy.sparse.sparray", shape: Sequence[int] | None = None, *, rtol: float = 1e-12
) -> Structure:
    """The three-, five- or seven-point stencil of a symmetric matrix, with unknowns in C order.

    Couplings may be constant or variable and axes periodic; a row may be empty (a solid node) or
    that of a ghost. The excess of a diagonal entry over its couplings is a coupling to a known end
    value at nodes on the sides, and a reaction elsewhere. `shape` is inferred from the positions of
    the entries if it is not given.

    For example, a system of a flow solver with ghost rows at walls and its right-hand side in a
    file (`read_vector`):

        found = recognise(scipy.sparse.load_npz("A.npz"))
        b = read_vector("b.bin").reshape(found.operator.grid.shape)
        result = cg(found.operator, b, M=GhostElimination(found), rtol=1e-12)

    x is the solution of the whole system. If b is not in the range of A, the result says so, and x
    solves the system with `found.operator.project(b)`.

    An unrecognised matrix is no error: `operator` is then None, and `reason` says why.
    """
    import numpy as np
    import scipy.sparse

    csr = scipy.sparse.csr_array(matrix, dtype="float64", copy=True)
    if csr.ndim != 2 or csr.shape[0] != csr.shape[1]:
        return Structure(f"not square: shape {csr.shape}")
    csr.sum_duplicates()
    if not np.isfinite(csr.data).all():
        return Structure("it holds NaN or infinity")
    largest = abs(csr.data).max() if csr.nnz else 0.0
    csr.data[abs(csr.data) <= rtol * largest] = 0
    csr.eliminate_zeros()
    if csr.nnz == 0:
        return Structure("it is zero")
    gap = abs(csr - csr.T).max()
    if gap > rtol * largest:
        return Structure(f"not symmetric: |A - Aᵀ| = {gap:.1e}, largest entry {largest:.1e}")
    upper = scipy.sparse.triu(csr, 1).tocoo()
    if upper.nnz and upper.data.max() > 0:
        k = upper.data.argmax()
        return Structure(
            f"not an M-matrix: entry ({upper.row[k]}, {upper.col[k]}) is {upper.data[k]:.3g} > 0"
        )
    size = csr.shape[0]
    distances = np.unique(upper.col - upper.row)
    found = [tuple(shape)] if shape is not None else _shapes(size, distances.tolist())
    if shape is not None and int(np.prod(shape)) != size:
        return Structure(f"{size} rows do not fill a grid of shape {tuple(shape)}")
    if not found:
        return Structure(
            f"no grid of one to three axes has all neighbours at the distances "
            f"{', '.join(map(str, distances[:8]))}{' ...' if len(distances) > 8 else ''} "
            f"of this matrix of {size} rows"
        )
    reason = ""
    for candidate in found:
        faces, reason = _faces(upper, candidate)
        if faces is not None:
            return _structure(csr, faces, candidate, rtol * largest)
    return Structure(reason)


def _shapes(size: int, distances: list[int]) -> list[tuple[int, ...]]:
    """Shapes, in C order, whose neighbours are at these distances only, periodic ones included."""
    found: list[tuple[int, ...]] = []
    if set(distances) <= {1, size - 1}:
        found.append((size,))
    divisors = [d for d in distances if d > 1 and size % d == 0]
    for m in divisors:
        if set(distances) <= {1, m - 1, m, size - m}:
            found.append((size // m, m))
    for m, plane in combinations(divisors, 2):
        if plane % m == 0 and set(distances) <= {1, m - 1, m, plane - m, plane, size - plane}:
            found.append((size // plane, plane // m, m))
    return found


def _faces(upper, shape: tuple[int, ...]) -> tuple[list[Tensor] | None, str]:
    """The couplings at the faces of a grid of this shape, or why an entry is not a coupling."""
    import numpy as np

    low, high = (np.array(np.unravel_index(i, shape)) for i in (upper.row, upper.col))
    step = high - low
    faces = []
    placed = np.zeros(upper.nnz, dtype=bool)
    for axis, n in enumerate(shape):
        others = np.delete(step, axis, axis=0)
        straight = (others == 0).all(axis=0)
        c = np.zeros([k + (a == axis) for a, k in enumerate(shape)])
        here = straight & (step[axis] == 1)
        where = high[:, here]
        c[tuple(where)] = -upper.data[here]
        placed |= here
        seam = straight & (step[axis] == n - 1) & (n > 2)
        for end in (0, n):
            where = low[:, seam].copy()
            where[axis] = end
            c[tuple(where)] = -upper.data[seam]
        placed |= seam
        faces.append(torch.from_numpy(c))
    if not placed.all():
        k = int(np.argmin(placed))
        i, j = (tuple(int(x) for x in end[:, k]) for end in (low, high))
        return None, f"on a grid of shape {shape} it couples {i} and {j}, which are no neighbours"
    return faces, ""


def _structure(csr, faces: list[Tensor], shape: tuple[int, ...], small: float) -> Structure:
    periodic = [bool(f.select(a, 0).any()) for a, f in enumerate(faces)]
    boundary = ["periodic" if p else "neumann" for p in periodic]
    grid = Grid(shape, [float(n) for n in shape], boundary, "centers")
    bare = Diffusion.from_faces(faces, grid)
    excess = torch.from_numpy(csr.diagonal()).reshape(shape) - bare.diagonal()
    if (excess < -10 * small).any():
        row = int(excess.argmin())
        return Structure(
            f"row {row} is not diagonally dominant: its couplings exceed the diagonal by "
            f"{-excess.min().item():.1e}"
        )
    excess = torch.where(excess > 10 * small, excess, 0.0)
    ends = sum(_at_ends(shape, axis) for axis in range(len(shape)) if not periodic[axis])
    if isinstance(ends, Tensor):
        share = torch.where(ends > 0, excess / ends.clamp(min=1), 0.0)
        excess = torch.where(ends > 0, 0.0, excess)
        for axis, c in enumerate(faces):
            if not periodic[axis]:
                n = shape[axis]
                c.select(axis, 0).copy_(share.select(axis, 0))
                c.select(axis, n).copy_(share.select(axis, n - 1))
    A = Diffusion.from_faces(faces, grid, excess if excess.any() else None)
    return _with_ghosts(A, faces, excess)


def _with_ghosts(A: Diffusion, faces: list[Tensor], excess: Tensor) -> Structure:
    degree = sum(
        (c.narrow(a, 0, n) > 0).int() + (c.narrow(a, 1, n) > 0).int()
        for a, (c, n) in enumerate(zip(faces, A.grid.shape, strict=True))
    )
    assert isinstance(degree, Tensor)
    ghosts = (degree == 1) & (excess == 0)
    # The neighbour of a ghost is an inner node: two nodes coupled only to each other are no ghosts.
    ghosts &= _gather((~ghosts).double(), A, weighted=False) > 0
    inside = []
    for axis, c in enumerate(faces):
        n = A.grid.shape[axis]
        c = c.clone()
        c.narrow(axis, 0, n)[ghosts] = 0
        c.narrow(axis, 1, n)[ghosts] = 0
        if A.periodic[axis]:
            both = torch.minimum(c.select(axis, 0), c.select(axis, n))
            c.select(axis, 0).copy_(both)
            c.select(axis, n).copy_(both)
        inside.append(c)
    inner = Diffusion.from_faces(inside, A.grid, excess if excess.any() else None)
    values = torch.cat([c[c > 0] for c in inside]) if any(c.any() for c in inside) else excess[:0]
    same = values.numel() > 0 and (values.max() - values.min()) <= 1e-12 * values.max()
    wet = inner.diagonal() > 0
    box = None
    if wet.any():
        corners = [(int(i.min()), int(i.max())) for i in wet.nonzero().T]
        if wet[tuple(slice(i, j + 1) for i, j in corners)].all():
            box = tuple(corners)
    kind = "constant" if same else "variable"
    points = 1 + 2 * len(faces)
    shape = " x ".join(map(str, A.grid.shape))
    hanging = f", {int(ghosts.sum())} ghosts" if ghosts.any() else ""
    reason = f"{points}-point stencil on {shape} nodes, {kind} couplings{hanging}; {A.regions}"
    coupling = values[0].item() if same else None
    return Structure(reason, A, ghosts, inner, coupling, box)


def _at_ends(shape: tuple[int, ...], axis: int) -> Tensor:
    """1 at the first and the last node of an axis, 2 if they coincide."""
    count = torch.zeros(shape, dtype=torch.float64)
    count.select(axis, 0).add_(1)
    count.select(axis, shape[axis] - 1).add_(1)
    return count


def _gather(u: Tensor, A: Diffusion, weighted: bool) -> Tensor:
    """The sum of u over the neighbours of each node, times the couplings if `weighted`."""
    result = torch.zeros_like(u)
    for axis, c in enumerate(A.faces, start=-A.ndim):
        c = c if weighted else (c > 0).to(u)
        n = A.grid.shape[axis]
        behind = c.narrow(axis, 1, n) * u.roll(-1, axis)
        before = c.narrow(axis, 0, n) * u.roll(1, axis)
        if not A.periodic[axis]:  # nothing lies beyond the ends
            behind.select(axis, n - 1).zero_()
            before.select(axis, 0).zero_()
        result = result + behind + before
    return result
