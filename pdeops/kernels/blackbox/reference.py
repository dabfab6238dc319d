"""Black-box multigrid (Dendy 1982) in any dimension and with any boundary, in plain torch.

Twin of the compiled loops in `blackbox/box.py` and `blackbox/plane.py`. Levels are in
`level_reference.py`, interpolation and restriction in `transfer_reference.py`, coarse operators in
`galerkin_reference.py`, smoothers in `relax_reference.py`. Any device and dtype; leading axes of
the fields are a batch, leading axes of the couplings a batch of operators. Differentiable in both.

**Nodes.** An axis with n unknowns stores 2 (n // 2) + 3 nodes; the unknowns have the indices
1 .. n. The others are boundary nodes, where u = 0, or on a periodic axis ghosts: node 0 is a copy
of node n, and n + 1 of node 1.

**Operators.** A is the graph Laplacian of the grid including boundary nodes, plus an excess e >= 0:
(A u)_p = Σ_δ c_δ(p) (u_p - u_(p+δ)) + e_p u_p over the neighbours p + δ. All levels have this form,
because interpolation preserves constants and coarse operators are Pᵀ A P; e is lumped. A boundary
without flux and solid nodes are represented by zero couplings.

**Coarse nodes** are the nodes with even indices on the axes that are coarsened. Only axes with
strong coupling are coarsened (semicoarsening), because smoothing by points has no effect along the
others. If lines are solved along the strongest axis, it is ignored in this comparison, and the
other axes are coarsened too. Solid nodes may be coarse nodes; they represent the fluid around them.

**Interpolation** weights are computed from A. Nodes with one odd index come first, then two, then
three. The stencil is summed over the axes with an even index, and A u = 0 gives the value at the
node from nodes with fewer odd indices. Negative weights, which occur on coarse levels only, are
omitted. So interpolation follows jumps of the coefficient and stops at walls. With line relaxation,
a node between two lines takes T⁻¹ C 1 from either side, where T is the matrix of its line and C its
couplings to that side (Schaffer 1998): errors are similar along a line, so the weights must be,
even if C jumps.

**Cycle.** Gauss-Seidel in colours (indices modulo 2), restriction of the residual by Pᵀ, correction
by P, Gauss-Seidel in reversed order. This is symmetric, and positive definite because
S + Sᵀ - Sᵀ A S is. With three, five and seven points the order is red-black. The coarsest level is
solved directly, by a pseudo-inverse if A has a kernel. Line relaxation uses colours of lines, along
one axis after the other.

The digits of a weight of P are one number per axis: 0 at even indices and on an axis that is not
coarsened; 1 and 2 at odd indices, for the weights of the lower and the higher coarse neighbour.
Weights are stored by cells: cell I of an axis contains the nodes 2I and 2I + 1. Capital letters
belong to the coarser level.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from . import layout
from .galerkin_reference import galerkin, sparsified
from .hierarchy import Cycle, Hierarchy, NotPositiveDefiniteError, System
from .layout import ASCEND, DESCEND, EXACT, PROLONG, RESTRICT, START
from .level_reference import Level, pad, residual, sync
from .ordered import Ordered
from .relax_reference import smooth
from .sparsify import Shares
from .transfer_reference import interpolation, prolong, restrict

DENSE = 4096  # unknowns of a coarsest level that is solved by a dense factor


class ReferenceHierarchy(Hierarchy):
    """Levels for any cycle, on any device and in any dtype; the levels carry no gradient.

    To differentiate, use `build_levels` and `apply_cycle`.
    """

    def __init__(
        self,
        system: System,
        lines: tuple[int, ...] = (),
        shares: Shares | None = None,
        num_sparsified: int = 1,
    ) -> None:
        ordered = Ordered.of(system, lines)
        table, _, _ = ordered.layout()
        ndim = len(ordered.n)
        self.shapes = ordered.shapes(table)
        self._order = ordered.order
        self._sweep = layout.sweep([True] * ndim, ordered.lines).tolist()
        try:
            self._levels = build_levels(
                ordered.faces,
                ordered.excess,
                ordered.periodic,
                layout.coarsened(table, ndim),
                system.singular,
                shares,
                ordered.lines,
                num_sparsified,
            )
        except torch.linalg.LinAlgError:
            raise NotPositiveDefiniteError from None

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        axes = (0, *(1 + a for a in self._order))
        steps = layout.schedule(len(self.shapes), cycle.kind).tolist()
        sweeps = (cycle.pre, cycle.post, cycle.mirrored)
        u = apply_cycle(b.permute(axes), self._levels, steps, sweeps, self._sweep, cycle.lengths)
        out.permute(axes).copy_(u)


def set_up(
    system: System,
    cycle: Cycle,
    lines: tuple[int, ...],
    shares: Shares | None,
    num_sparsified: int,
) -> Hierarchy:
    """Same as `blackbox.set_up`; one hierarchy serves all cycles."""
    return ReferenceHierarchy(system, lines, shares, num_sparsified)


def build_levels(
    faces: Sequence[Tensor],
    excess: Tensor | None,
    wrap: Sequence[bool],
    coarsened: Sequence[Sequence[bool]],
    singular: bool,
    shares: Shares | None = None,
    followed: tuple[int, ...] = (),
    num_sparsified: int = 1,
) -> list[Level]:
    """All levels, finest first, from the couplings at the faces (`diffusion/reference.py`).

    Args:
        coarsened: which axes each level but the last coarsens (`layout.coarsened`).
        shares: how couplings along diagonals are distributed to the axes on the first
            `num_sparsified` coarse levels; None: these levels are not sparsified.
        followed: axes along which a line smoother solves; interpolation solves along them too.
    """
    ndim = len(faces)
    n = tuple(k - (a == 0) for a, k in enumerate(faces[0].shape[-ndim:]))
    couplings = {}
    for axis, f in enumerate(faces):
        unit = tuple(int(a == axis) for a in range(ndim))
        couplings[tuple(-x for x in unit)] = pad(f.narrow(axis - ndim, 0, n[axis]), ndim)
        couplings[unit] = pad(f.narrow(axis - ndim, 1, n[axis]), ndim)
    none = torch.zeros_like(faces[0].narrow(-ndim, 0, n[0]))
    e = pad(none if excess is None else excess, ndim)
    levels: list[Level] = []
    for coarsen in coarsened:
        level = Level(n, tuple(wrap), couplings, e, tuple(coarsen), followed)
        level.weights = interpolation(level)
        levels.append(level)
        couplings, e = galerkin(level)
        n = level.N
        if shares is not None and len(levels) <= num_sparsified:
            couplings = sparsified(couplings, n, shares)
    last = Level(n, tuple(wrap), couplings, e, (False,) * ndim)
    last.inverse = invert(last, singular)
    return [*levels, last]


def invert(level: Level, singular: bool) -> Tensor:
    """A⁻¹ on all unknowns; the pseudo-inverse if A is singular.

    Raises:
        ValueError: too many unknowns for a dense matrix.
        torch.linalg.LinAlgError: A is not positive definite.
    """
    size = math.prod(level.n)
    if size > DENSE:
        raise ValueError(
            f"The coarsest level has {' x '.join(map(str, level.n))} unknowns, too many for a "
            f"dense factor. For elongated grids use float32 or float64 on the CPU."
        )
    ndim = len(level.n)
    basis = torch.eye(size, dtype=level.excess.dtype, device=level.excess.device)
    u = sync(pad(basis.reshape(size, *level.n), ndim), level.n, level.wrap)
    # An additional axis for the columns, after the batch of operators.
    couplings = {d: c.unsqueeze(-ndim - 1) for d, c in level.couplings.items()}
    excess = level.excess.unsqueeze(-ndim - 1)
    one = Level(level.n, level.wrap, couplings, excess, level.coarsen)
    A = -residual(u, torch.zeros_like(u), one)[level.inside].flatten(-ndim)
    if not singular:
        return torch.cholesky_inverse(torch.linalg.cholesky(A))
    # The kernel K is excluded from the derivative. `pinv` has none here: eigenvectors of equal
    # eigenvalues, such as those of a kernel, are not differentiable.
    eigenvalues, vectors = torch.linalg.eigh(A.detach())
    size = eigenvalues[..., -1:].clamp(min=torch.finfo(A.dtype).tiny)
    small = 1e-12 if A.dtype == torch.float64 else 1e-5  # eigenvalues of round-off
    kernel = vectors * (eigenvalues <= small * size).to(A).unsqueeze(-2)
    K = kernel @ kernel.mT
    scale = size.unsqueeze(-1)
    return torch.cholesky_inverse(torch.linalg.cholesky(A + scale * K)) - K / scale


def apply_cycle(
    b: Float[Tensor, "*b_n"],
    levels: list[Level],
    schedule: Sequence[Sequence[int]],
    sweeps: tuple[int, int, bool] = (1, 1, True),
    sweep: Sequence[Sequence[int]] | None = None,
    lengths: Sequence[float] = (),
) -> Float[Tensor, "*b_n"]:
    """M b: a cycle from zero through the steps of a schedule (`layout.schedule`).

    Args:
        sweeps: number of sweeps before and after the correction; whether the order of the
            colours is reversed after it.
        sweep: the colours of a sweep (`layout.sweep`); of points by default.
        lengths: step lengths of damped Jacobi or Chebyshev instead of Gauss-Seidel.
    """
    u: dict[int, Tensor] = {}
    ndim = len(levels[0].n)
    pre, post, mirrored = sweeps
    sweep = layout.sweep([True] * ndim).tolist() if sweep is None else sweep
    rhs = {0: pad(b, ndim)}
    for what, i in schedule:
        level = levels[i]
        if what == EXACT:
            assert level.inverse is not None
            inner = rhs[i][level.inside]
            exact = (inner.flatten(-ndim).unsqueeze(-2) @ level.inverse).reshape(inner.shape)
            u[i] = sync(pad(exact, ndim), level.n, level.wrap)
        elif what == RESTRICT:
            rhs[i + 1] = restrict(sync(rhs[i].clone(), level.n, level.wrap), level)
        elif what == PROLONG:
            u[i] = prolong(u[i + 1], level)
        elif what == ASCEND:
            u[i] = u[i] + prolong(u[i + 1], level)
            for _ in range(post):
                u[i] = smooth(u[i], rhs[i], level, sweep, mirrored, lengths)
        else:
            assert what in (START, DESCEND)
            if what == START:
                u[i] = torch.zeros_like(rhs[i])
            for _ in range(pre):
                u[i] = smooth(u[i], rhs[i], level, sweep, False, lengths)
            rhs[i + 1] = restrict(residual(u[i], rhs[i], level), level)
    return u[0][levels[0].inside]
