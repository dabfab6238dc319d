"""Rows of the contract of operations: the parts of tiled multigrid.

`test_triton.py` runs them in Triton's interpreter, those with more nodes in a slow test.
"""

from dataclasses import replace

import torch

from pdeops.kernels import tiled_multigrid
from pdeops.kernels.blackbox.layout import padded, sweep
from pdeops.kernels.forms import is_interpreted
from pdeops.kernels.tiled_multigrid import from_faces, reference

from .contract_row import Row

OMEGA = (0.6, 0.9, 0.7)


def fields(n):
    """Two of u and of b, the excess, a correction from the coarse level, and per axis the couplings
    at its faces."""
    faces = [tuple(k + (a == axis) for a, k in enumerate(n)) for axis in range(len(n))]
    return [(2, *n), (2, *n), n, (2, *n), *faces]


def stored(u, n):
    """u at the unknowns, 0 around them; with u's kind of memory."""
    v = u.new_zeros(2, *map(padded, n))
    v[(..., *(slice(1, k + 1) for k in n))] = u[(..., *(slice(k) for k in n))]
    return v if u.is_contiguous() else torch.stack([v, v], -1)[..., 0]


def level_of(excess, faces, coarsen, parts, *, second, lines):
    """A level with weights and pivots; the second has couplings to all neighbours."""
    level = from_faces([f.exp() for f in faces], excess.exp(), coarsen)
    if second:
        level = replace(level, w=parts.weights(level))
        c = parts.coarse_couplings(level)
        level = tiled_multigrid.TiledLevel(level.N, c, None, coarsen)
    level = replace(level, pivots={a: parts.line_pivots(level, a) for a in lines})
    return replace(level, w=parts.weights(level, lines))


def cycle_parts(parts, *, coarsen, second=False):
    def run(u, b, excess, correction, *faces):
        level = level_of(excess, faces, coarsen, parts, second=second, lines=())
        u, b, U = stored(u, level.n), stored(b, level.n), stored(correction, level.N)
        return (
            parts.product(level, u),
            parts.residual(level, u, b),
            parts.smooth(level, None, b, OMEGA[:2]),
            parts.smooth(level, u, b, OMEGA, U),
            parts.smooth(level, u, b, (), U),
            parts.restrict(level, u, b),
            parts.restrict(level, None, b),
        )

    return run


def setup_parts(parts, *, coarsen, second=False):
    def run(u, b, excess, correction, *faces):
        level = level_of(excess, faces, coarsen, parts, second=second, lines=())
        return level.w, parts.coarse_couplings(level)

    return run


def line_parts(parts, *, coarsen, lines, second=False):
    def run(u, b, excess, correction, *faces):
        level = level_of(excess, faces, coarsen, parts, second=second, lines=lines)
        u, b = stored(u, level.n), stored(b, level.n)
        steps = sweep([True] * len(level.n), lines).tolist()
        smoothed = [parts.smooth_lines(level, u, b, axis, start) for axis, *start in steps]
        return level.w, *level.pivots.values(), *smoothed

    return run


def few_parts(parts, *, coarsen):
    """One of each kernel of a cycle by points."""

    def run(u, b, excess, correction, *faces):
        level = level_of(excess, faces, coarsen, parts, second=False, lines=())
        return on_level(level, parts)(u, b, excess, correction, *faces)

    return run


def few_parts_bound(parts, *, coarsen):
    """The same, on a level that was set up before."""

    def bind(u, b, excess, correction, *faces):
        level = level_of(excess, faces, coarsen, parts, second=False, lines=())
        return on_level(level, parts)

    return bind


def on_level(level, parts):
    def run(u, b, excess, correction, *faces):
        u, b, U = stored(u, level.n), stored(b, level.n), stored(correction, level.N)
        return (
            parts.residual(level, u, b),
            parts.smooth(level, u, b, OMEGA[:2], U),
            parts.restrict(level, u, b),
            parts.coarse_couplings(level),
        )

    return run


def row(parts, sizes, graph=None, *, coarsen, **how):
    """A row of the parts; `graph` binds them."""
    bound = None if graph is None else graph(tiled_multigrid, coarsen=coarsen)
    return replace(plain_row(parts, sizes, coarsen=coarsen, **how), graph=bound)


def plain_row(parts, sizes, *, dtypes=(torch.float64, torch.float32), exempt=(), **how):
    no_gradient = "cycles record no gradient; train with the twin of blackbox"
    return Row(
        parts(tiled_multigrid, **how),
        parts(reference, **how),
        fields,
        sizes,
        dtypes,
        exempt={"test_backward": no_gradient} | dict(exempt),
    )


BOTH, BOX = (True, True), (True, True, True)
LONG = {"test_strided": "the rows with more nodes are; the interpreter is slow"}
FEW_NODES = {
    "tiled_multigrid, line, few_nodes": row(
        few_parts, ((5,),), few_parts_bound, dtypes=(torch.float32,), exempt=LONG, coarsen=(True,)
    ),
    "tiled_multigrid, few_nodes": row(
        few_parts, ((4, 3),), few_parts_bound, dtypes=(torch.float64,), exempt=LONG, coarsen=BOTH
    ),
}
MORE_NODES = {
    "tiled_multigrid, plane, more_nodes": row(cycle_parts, ((7, 9), (2, 21)), coarsen=BOTH),
    "tiled_multigrid, second, more_nodes": row(cycle_parts, ((10, 13),), coarsen=BOTH, second=True),
    "tiled_multigrid, line, more_nodes": row(cycle_parts, ((19,), (2,)), coarsen=(True,)),
    "tiled_multigrid, semicoarsened, more_nodes": row(
        cycle_parts, ((6, 1), (9, 4)), coarsen=(True, False)
    ),
    "tiled_multigrid, box, more_nodes": row(cycle_parts, ((4, 3, 5),), coarsen=BOX),
    "tiled_multigrid, second box, more_nodes": row(
        cycle_parts, ((5, 4, 4),), dtypes=(torch.float64,), exempt=LONG, coarsen=BOX, second=True
    ),
    "tiled_multigrid, semicoarsened box, more_nodes": row(
        cycle_parts, ((4, 3, 2),), coarsen=(True, False, True)
    ),
    "tiled_multigrid, set-up, more_nodes": row(setup_parts, ((9, 10),), coarsen=BOTH, second=True),
    "tiled_multigrid, set-up of a box, more_nodes": row(
        setup_parts, ((4, 5, 4),), dtypes=(torch.float64,), exempt=LONG, coarsen=BOX
    ),
    "tiled_multigrid, lines, more_nodes": row(
        line_parts, ((9, 10), (8, 5)), coarsen=BOTH, lines=(1, 0), second=True
    ),
    "tiled_multigrid, lines in a box, more_nodes": row(
        line_parts, ((4, 5, 3),), coarsen=(True, False, True), lines=(1,)
    ),
}
MULTIGRID = FEW_NODES | (MORE_NODES if is_interpreted() else {})
