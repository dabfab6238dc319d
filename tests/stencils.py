"""Stencils of 9 and 27 points: finite elements, cross derivatives, random ones."""

import math
from itertools import product

import torch

from pdeops.domain import Grid
from pdeops.kernels.stencil import paired, stencil_offsets
from pdeops.solvers.operators.stencil import Stencil


def rotated(epsilon, degrees):
    """The tensor with eigenvalue 1 in this direction and epsilon in the other."""
    t = math.radians(degrees)
    Q = torch.tensor([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]).double()
    return Q @ torch.diag(torch.tensor([1.0, epsilon]).double()) @ Q.T


def element_matrix(D, spacing):
    """∫ ∇φ_p · D ∇φ_q over one cell, for the 2^d corners p, q in C order; as {(p, q): value}."""
    stiff, mass = ((1, -1), (-1, 1)), ((1 / 3, 1 / 6), (1 / 6, 1 / 3))
    mixed = ((-0.5, -0.5), (0.5, 0.5))  # ∫ φ_p' φ_q
    ndim = len(spacing)
    corners = list(product((0, 1), repeat=ndim))
    result = {}
    for p, q in product(corners, repeat=2):
        value = 0.0
        for a, b in product(range(ndim), repeat=2):
            term = float(D[a][b]) * math.prod(spacing) / (spacing[a] * spacing[b])
            for c in range(ndim):
                if a == b:
                    term *= (stiff if c == a else mass)[p[c]][q[c]]
                elif c == a:
                    term *= mixed[p[c]][q[c]]
                elif c == b:
                    term *= mixed[q[c]][p[c]]
                else:
                    term *= mass[p[c]][q[c]]
            value += term
        result[p, q] = value
    return result


def elements(shape, *, k=None, D=None, spacing=None):
    """Bilinear or trilinear elements of -div(k D grad u), u = 0 on the sides, at inner nodes.

    k has one value per cell, n + 1 cells per axis.
    """
    ndim = len(shape)
    D = torch.eye(ndim).double() if D is None else D
    k = torch.ones([n + 1 for n in shape], dtype=torch.float64) if k is None else k
    offsets = stencil_offsets(ndim)
    d = torch.zeros(shape, dtype=torch.float64)
    a = torch.zeros((len(offsets), *shape), dtype=torch.float64)
    for (p, q), value in element_matrix(D, spacing or [1.0] * ndim).items():
        # The cell of which a node is corner p.
        cells = k[tuple(slice(1 - c, n + 1 - c) for c, n in zip(p, shape, strict=True))]
        delta = tuple(j - i for i, j in zip(p, q, strict=True))
        if not any(delta):
            d += value * cells
        elif delta in offsets:
            here, _ = paired(delta, shape)
            a[offsets.index(delta)][here] += value * cells[here]
    return Stencil(d, a, Grid(shape, placement="interior"), positive_definite=True)


def differences(shape, D):
    """Differences of -div(D grad u) with the cross derivative from four corners."""
    offsets = stencil_offsets(2)
    a = torch.zeros((4, *shape), dtype=torch.float64)
    cross = float(D[0][1]) / 2
    for offset, value in zip(offsets, (-D[1][1], cross, -D[0][0], -cross), strict=True):
        here, _ = paired(offset, shape)
        a[offsets.index(offset)][here] = value
    d = torch.full(shape, 2 * float(D[0][0] + D[1][1]), dtype=torch.float64)
    return Stencil(d, a, Grid(shape, placement="interior"), positive_definite=True)


def random_stencil(shape, *, seed=0, contrast=20.0, positive=0.3):
    """A diagonally dominant stencil; a part of the couplings is positive."""
    generator = torch.Generator().manual_seed(seed)
    offsets = stencil_offsets(len(shape))
    a = torch.zeros((len(offsets), *shape), dtype=torch.float64)
    for k, offset in enumerate(offsets):
        here, _ = paired(offset, shape)
        size = a[k][here].shape
        values = -torch.rand(size, generator=generator, dtype=torch.float64) + positive
        a[k][here] = values * contrast ** torch.rand(size, generator=generator).double()
    return dominant(a, torch.rand(shape, generator=generator, dtype=torch.float64) + 0.01)


def dominant(a, excess):
    """The stencil with these couplings and diagonal Σ |a| + excess."""
    grid = Grid(excess.shape, placement="interior")
    bare = Stencil(torch.zeros_like(excess), a.abs(), grid, positive_definite=False)
    return Stencil(bare @ torch.ones_like(excess) + excess, a, grid)


def without(A, hole):
    """A with identity rows and columns at the nodes of a hole."""
    a = A.couplings.clone()
    for k, offset in enumerate(stencil_offsets(A.ndim)):
        here, there = paired(offset, A.grid.shape)
        a[k][here] *= ~(hole[here] | hole[there])
    d = torch.where(hole, 1.0, A.diagonal())
    return Stencil(d, a, A.grid, positive_definite=True)


def blobs(shape, contrast, *, seed=0):
    """1 or `contrast` per cell: the sign of smooth noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn([n + 1 for n in shape], generator=generator, dtype=torch.float64)
    spectrum = torch.fft.fftn(noise)
    waves = torch.meshgrid(*[torch.fft.fftfreq(n + 1) * (n + 1) for n in shape], indexing="ij")
    smooth = torch.fft.ifftn(spectrum * torch.exp(-sum(w**2 for w in waves) / 50)).real
    return torch.where(smooth > 0, 1.0, float(contrast)).double()
