"""Recognition of a stencil on a grid in a sparse matrix."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...domain import Grid
from ...kernels import recognition
from ...kernels.recognition import Entries, Pairs, Reading, layout
from .diffusion import Diffusion
from .embedding import Places, places
from .given import as_sparse
from .regions import Regions
from .shapes import axis_shapes, box_shapes
from .stencil import Stencil, stencil_offsets
from .structure import Structure, gather
from .unrecognised import look

if TYPE_CHECKING:
    import scipy.sparse

FEW = {2, 3}


def recognise(
    matrix: "scipy.sparse.sparray | scipy.sparse.spmatrix",
    shape: Sequence[int] | None = None,
    *,
    reading: Reading | None = None,
) -> Structure:
    """The stencil of a symmetric matrix, with unknowns in C order, read in a few passes.

    - Three, five or seven points with couplings a_ij <= 0: `Structure.operator`. Couplings may be
      constant or variable and axes periodic; a row may be empty (a solid node) or that of a ghost.
      The excess of a diagonal entry over its couplings is a coupling to a known end value at nodes
      on the sides, and a reaction elsewhere. Nodes may be missing, if the others are numbered row
      by row (`Structure.embedding`).
    - Nine points in two and 27 in three dimensions, or couplings of either sign, on axes that are
      not periodic: `Structure.stencil`.

    The operator is the same matrix up to round-off in each row: no entry is dropped because
    another is large. `shape` is inferred from the positions of the entries if it is not given.
    `reading` is that of the same matrix, if there is one.

    For example, a system of a flow solver with ghost rows at walls and its right-hand side in a
    file (`read_vector`):

        found = recognise(scipy.sparse.load_npz("A.npz"))
        b = found.embed(read_vector("b.bin"))
        result = cg(found.operator, b, M=GhostElimination(found), rtol=1e-12)

    x is the solution of the whole system. If b is not in the range of A, the result says so, and x
    solves the system with `found.operator.project(b)`.

    An unrecognised matrix is no error: `on_grid` is then None, and `reason` says why and what to
    do.
    """
    csr, reason = _csr(matrix)
    if csr is None:
        return Structure(reason)
    A = recognition.entries(csr) if reading is None else reading.entries
    if reason := _not_definite(A):
        return Structure(reason)
    P = recognition.pairs(A) if reading is None else reading.pairs
    if P.asymmetric is not None:
        i, j = P.asymmetric
        return Structure(
            f"not symmetric: entry ({i}, {j}) is {float(csr[i, j])!r}, entry ({j}, {i}) is "
            f"{float(csr[j, i])!r}"
        )
    size = len(A.diagonal)
    if shape is not None and (torch.Size(shape).numel() != size or not 1 <= len(shape) <= 3):
        return Structure(f"{size} rows do not fill a grid of shape {tuple(shape)} of 1 to 3 axes")
    reasons = []
    for found in _attempts(A, P, shape):
        if isinstance(found, Structure):
            return found
        reasons.append(found)
    return Structure(reasons[0] if shape is not None else look(A, P, reasons))


def _csr(matrix: Any) -> tuple[Any, str]:
    """The matrix as CSR, without a copy if it is one, or why it cannot be a stencil."""
    import scipy.sparse

    csr = as_sparse(matrix)
    if csr.format != "csr":
        csr = scipy.sparse.csr_array(csr)
    if csr.ndim != 2 or csr.shape[0] != csr.shape[1]:
        return None, f"not square: shape {csr.shape}"
    if csr.dtype.kind not in "fiub":
        return None, f"its entries are of type {csr.dtype}; real ones are needed"
    return csr, ""


def _not_definite(A: Entries) -> str:
    """Why the rows, each by itself, exclude a positive definite matrix; "" if they do not."""
    if A.not_finite >= 0:
        return f"it holds NaN or infinity, first in row {A.not_finite}"
    if not A.largest.any():
        return "it is zero"
    lowest = int(A.diagonal.argmin())
    if A.diagonal[lowest] >= 0:
        return ""
    if (A.diagonal <= 0).all():
        return (
            f"not positive definite: no diagonal entry is positive, that of row {lowest} is "
            f"{A.diagonal[lowest]:.3g}. If A is negative definite, solve (-A) x = -b"
        )
    return f"not positive definite: the diagonal entry of row {lowest} is {A.diagonal[lowest]:.3g}"


def _attempts(A: Entries, P: Pairs, shape: Sequence[int] | None) -> Iterable[Structure | str]:
    """The matrix on each grid that may be its own, as a structure, or why it does not fit."""
    size = len(A.diagonal)
    distances = P.distances
    if P.positive is None and (distances is not None or shape is not None):
        for candidate in [tuple(shape)] if shape else axis_shapes(size, distances or []):
            yield _diffusion(A, candidate)
    elif distances is not None or shape is not None:
        for candidate in [tuple(shape)] if shape else axis_shapes(size, distances or []):
            if found := _either_sign(A, P, candidate):
                yield found
    if distances is not None or shape is not None:
        for candidate in [tuple(shape)] if shape else box_shapes(size, distances or []):
            # Few nodes along the last axis are two or three unknowns per node, along the first two
            # or three fields, if their couplings have either sign.
            system = (
                shape is None and P.positive is not None and {candidate[0], candidate[-1]} & FEW
            )
            if len(candidate) in (2, 3) and not system:
                yield _stencil(A, P, candidate)
    if P.positive is None and shape is None:
        for embedded in places(A):
            yield _diffusion(A, embedded.shape, embedded)


def _diffusion(
    A: Entries, shape: tuple[int, ...], embedded: Places | None = None
) -> Structure | str:
    """The matrix as couplings along the axes, or why it is not."""
    size = sum(torch.Size(n).numel() for n in layout.face_shapes(shape))
    slots = layout.ascending([s for s in layout.face_slots(shape) if s[0]])
    position, diagonal = None, A.diagonal
    if embedded is None:
        slots = layout.ascending([*slots, *layout.seam_slots(shape)])
    else:
        position, diagonal = embedded.position, embedded.spread(A.diagonal)
    store, wrong = recognition.arrange(A, shape, slots, size, -1.0, position)
    if wrong is not None:
        return _no_neighbours(shape, wrong)
    split = layout.split_faces(store, shape)
    periodic = []
    for axis, f in enumerate(split):
        along = f.swapaxes(0, axis)
        periodic.append(bool(along[0].any()))
        along[-1] = along[0]
    B = recognition.balance(diagonal, shape, periodic, store)
    if B.weak >= 0:
        return f"row {B.weak} is not diagonally dominant: its couplings exceed the diagonal"
    faces = [torch.from_numpy(f) for f in split]
    excess = None if B.excess is None else torch.from_numpy(B.excess).reshape(shape)
    boundary = ["periodic" if p else "neumann" for p in periodic]
    grid = Grid(shape, [float(n) for n in shape], boundary, "centers")
    if B.closed or B.solid:
        fluid = torch.from_numpy(diagonal > 0).reshape(shape)
        regions = Regions.connected(fluid, faces, excess, periodic)
    else:
        ends = (f.select(a, i) for a, f in enumerate(faces) if not periodic[a] for i in (0, -1))
        held = excess is not None or any(bool(end.any()) for end in ends)
        regions = Regions.whole(shape, held)
    operator = Diffusion.of_checked(faces, grid, excess, B.bounds, regions)
    index = None if position is None else torch.from_numpy(position)
    return _structure(operator, B, diagonal, index)


def _either_sign(A: Entries, P: Pairs, shape: tuple[int, ...]) -> Structure | None:
    """The reason for couplings of either sign along the axes where no solver on a grid takes them:
    on a line, and on periodic axes. None if the matrix is none of these."""
    faces = [s for s in layout.face_slots(shape) if s[0]]
    size = sum(torch.Size(n).numel() for n in layout.face_shapes(shape))
    store, wrong = recognition.arrange(
        A, shape, layout.ascending([*faces, *layout.seam_slots(shape)]), size, 1.0
    )
    if wrong is not None:
        return None
    split = layout.split_faces(store, shape)
    if len(shape) > 1 and not any(f.take(0, a).any() for a, f in enumerate(split)):
        return None
    return Structure(
        f"{1 + 2 * len(shape)}-point stencil on {_times(shape)} nodes, not an M-matrix: entry "
        f"{P.positive} is positive. Couplings of either sign need a grid of two or three axes, "
        f"none periodic; use a sparse direct solver or algebraic multigrid"
    )


def _structure(
    A: Diffusion, B: recognition.Balance, diagonal: Any, embedding: Tensor | None
) -> Structure:
    ghosts = torch.zeros(A.grid.shape, dtype=torch.bool)
    inner = A
    if B.hanging is not None:
        ghosts = torch.from_numpy(B.hanging).reshape(A.grid.shape)
        # The neighbour of a ghost is an inner node: two nodes coupled only to each other are no
        # ghosts.
        ghosts &= gather((~ghosts).double(), A, weighted=False) > 0
        if ghosts.any():
            inner = _without(A, ghosts)
    low, high = inner.bounds
    coupling = low if high - low <= 1e-12 * high and high > 0 else None
    box: tuple[tuple[int, int], ...] | None = None
    if inner is A and not B.solid:
        box = tuple((0, n - 1) for n in A.grid.shape)
    elif (wet := inner.diagonal() > 0).any():
        corners = [(int(i.min()), int(i.max())) for i in wet.nonzero().T]
        if wet[tuple(slice(i, j + 1) for i, j in corners)].all():
            box = tuple(corners)
    kind = "constant" if coupling is not None else "variable"
    hanging = f", {int(ghosts.sum())} ghosts" if ghosts.any() else ""
    missing = A.grid.num_nodes - (A.grid.num_nodes if embedding is None else len(embedding))
    outside = f", {missing} of them no unknowns" if missing else ""
    reason = (
        f"{1 + 2 * A.ndim}-point stencil on {_times(A.grid.shape)} nodes{outside}, {kind} "
        f"couplings{hanging}; {A.regions}"
    )
    held = B.held and A.ndim == 2 and not any(A.periodic) and not ghosts.any()
    return Structure(
        reason,
        A,
        _with_obstacles(A, diagonal) if held and A.regions.num_floating == 0 else None,
        ghosts=ghosts,
        inner=inner,
        coupling=coupling,
        box=box,
        embedding=embedding,
    )


def _without(A: Diffusion, ghosts: Tensor) -> Diffusion:
    """The operator without its ghosts, which become solid."""
    inside = []
    for axis, c in enumerate(A.faces):
        n = A.grid.shape[axis]
        c = c.clone()
        c.narrow(axis, 0, n)[ghosts] = 0
        c.narrow(axis, 1, n)[ghosts] = 0
        if A.periodic[axis]:
            both = torch.minimum(c.select(axis, 0), c.select(axis, n))
            c.select(axis, 0).copy_(both)
            c.select(axis, n).copy_(both)
        inside.append(c)
    return Diffusion.from_faces(inside, A.grid, A.excess)


def _with_obstacles(A: Diffusion, diagonal: Any) -> Stencil:
    """The operator as a stencil of nine points, with one equation for each solid node."""
    shape = A.grid.shape
    centre = torch.from_numpy(diagonal).reshape(shape)
    couplings = torch.zeros(len(stencil_offsets(A.ndim)), *shape, dtype=torch.float64)
    for axis, f in enumerate(A.faces):
        offset = tuple(int(a == axis) for a in range(A.ndim))
        field = couplings[stencil_offsets(A.ndim).index(offset)]
        inside = f.narrow(axis, 1, shape[axis] - 1)
        torch.neg(inside, out=field.narrow(axis, 0, shape[axis] - 1))
    return Stencil(
        torch.where(centre > 0, centre, A.bounds[1]),
        couplings,
        _open_box(shape),
        positive_definite=True,
    )


def _open_box(shape: Sequence[int]) -> Grid:
    """The grid of unit spacing with known values around the nodes."""
    return Grid(shape, [float(n + 1) for n in shape], "dirichlet", "interior")


def _stencil(A: Entries, P: Pairs, shape: tuple[int, ...]) -> Structure | str:
    """The matrix as couplings to all 3^d - 1 neighbours, or why it is none; a string if it does not
    fit this grid."""
    slots = layout.half_slots(shape)
    store, wrong = recognition.arrange(A, shape, slots, len(slots) * len(A.diagonal), 1.0)
    if wrong is not None:
        return _no_neighbours(shape, wrong)
    signed, absolute, minor = recognition.totals(A)
    points = f"{3 ** len(shape)}-point stencil on {_times(shape)} nodes"
    if minor is not None:
        i, j = minor
        return Structure(
            f"{points}, not positive definite: |a_ij|² > a_ii a_jj for entry ({i}, {j}). Use "
            f"minres or a sparse direct solver"
        )
    root = recognition.linked(A)
    bound = recognition.TOLERANCE * (absolute + A.diagonal)
    weak = A.diagonal < absolute - bound
    balanced, strict = abs(signed) <= bound, A.diagonal > absolute + bound
    floats = balanced.copy()
    for rows, all_of in ((~balanced, False), (A.largest == 0, True)):
        floats[root[rows]] = all_of
    if floats[root].any():
        row = int(floats[root].argmax())
        return Structure(
            f"{points}, singular: the rows that are coupled to row {row} sum to zero or are empty. "
            f"Stencils with diagonal neighbours or positive couplings must be definite; use "
            f"algebraic multigrid or conjugate gradients of Matrix(A)"
        )
    held = strict.copy()
    held[root[strict]] = True
    definite = not weak.any() and bool(held[root].all())
    sign = "no positive coupling"
    if P.positive is not None:
        sign = f"positive couplings such as entry {P.positive}"
    proven = "diagonally dominant"
    if not definite:
        row = int((weak if weak.any() else ~held[root]).argmax())
        proven = f"row {row} is not {'' if weak.any() else 'strictly '}diagonally dominant"
    operator = Stencil(
        torch.from_numpy(A.diagonal).reshape(shape),
        torch.from_numpy(store).reshape(-1, *shape),
        _open_box(shape),
        positive_definite=definite,
    )
    return Structure(f"{points}, {sign}; {proven}", stencil=operator)


def _no_neighbours(shape: tuple[int, ...], rows: tuple[int, int]) -> str:
    i, j = (tuple(int(x) for x in torch.unravel_index(torch.tensor(k), shape)) for k in rows)
    return f"on a grid of shape {shape} it couples {i} and {j}, which are no neighbours"


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
