"""Cycles with drawn weights, for `test_multichannel_cycle.py` and `interpreted_cycle.py`."""

import torch

from pdeops.kernels.multichannel_cycle import Geometry, Plan
from pdeops.kernels.multichannel_cycle.reference import cycle

DIRICHLET, INTERIOR = Geometry(("constant",) * 2, (1, 1)), Geometry(("constant",) * 2, (0, 0))
PERIODIC = Geometry(("circular",) * 2, (1, 1))
NEUMANN = Geometry(("reflect", "replicate"), (1, 1))
MIXED = Geometry(("circular", "constant"), (1, 0))
HALF_INTERIOR = Geometry(("constant",) * 2, (1, 0))
LINE = Geometry(("reflect",), (1,))
SPACE = Geometry(("circular", "reflect", "constant"), (1, 1, 0))


def shapes(plan, channels, ndim):
    """Those of the weights, in their order."""
    f, u = channels
    three, found = (3,) * ndim, []
    for level in range(plan.levels):
        coarsest = level == plan.levels - 1
        sweeps = plan.coarse if coarsest else plan.before + plan.after
        found += [(f, u), *[(u, f)] * sweeps, *([] if coarsest else [(f, f), (u, u)])]
    return [(*pair, *three) for pair in found]


def drawn(sizes, dtype=torch.float64):
    """Fields and weights, independent normal."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes]


def plain(plan, geometry):
    """The twin as a function of f and the weights."""
    return lambda f, *weights: cycle(f, plan.split(weights), geometry)


def gradients(function, fields):
    """u and the gradients of a weighted sum of u."""
    fields = [u.detach().requires_grad_() for u in fields]
    u = function(*fields)
    (g,) = drawn([u.shape])
    return [u.detach(), *torch.autograd.grad(u, fields, g.to(u.dtype))]


def error(found, expected):
    """The largest relative error of several tensors; `expected` is float64."""
    pairs = zip(found, expected, strict=True)
    return max(((u.double() - v).norm() / v.norm()).item() for u, v in pairs)


V, BACKSLASH, LONG = Plan(2, 1, 1, 2), Plan(3, 1, 0, 2), Plan(2, 2, 3, 4)  # 5 terms of df
