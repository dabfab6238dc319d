"""Twenty random diffusion systems, and what a preconditioner by construction must be on each.

For the tests of models whose M is symmetric and positive definite whatever their weights are.
"""

import math

import numpy as np
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion

SIDES = (
    ("dirichlet", "endpoints"),
    ("dirichlet", "interior"),
    ("dirichlet", "centers"),
    ("neumann", "endpoints"),
    ("neumann", "centers"),
)
KINDS = {
    "constant": lambda shape, random: np.full(shape, 3.0),
    "lognormal": lambda shape, random: np.exp(2 * random.standard_normal(shape)),
    "jumps": lambda shape, random: np.where(random.random(shape) < 0.5, 1.0, 1e4),
    "layers": lambda shape, random: np.broadcast_to(
        10.0 ** random.uniform(-2, 2, (shape[0], *(1,) * (len(shape) - 1))), shape
    ),
}
SEEDS = range(20)


def random_system(seed):
    """A from its seed: 2D for even seeds, 3D for odd ones, sizes odd and even; one of KINDS; sides
    drawn axis by axis; in a half of them spacings up to 1 : 10, in a third a reaction, in a half
    solid nodes, boxes or single ones."""
    random = np.random.default_rng(seed)
    ndim = 2 + seed % 2
    shape = tuple(int(n) for n in random.integers(4, 26 if ndim == 2 else 11, size=ndim))
    sides = [SIDES[i] for i in random.integers(len(SIDES), size=ndim)]
    extent = [10.0 ** random.uniform(0, 1) if random.random() < 0.5 else 1.0 for _ in shape]
    grid = Grid(shape, extent, [b for b, _ in sides], [p for _, p in sides])
    draw = list(KINDS.values())[seed // 2 % len(KINDS)]
    a = torch.from_numpy(np.array(draw(shape, random)))
    reaction = float(random.uniform(0, 50)) if random.random() < 1 / 3 else 0.0
    fluid = None
    if random.random() < 0.5:
        fluid = random.random(shape) > random.uniform(0, 0.6)
        if random.random() < 0.5:
            fluid = np.ones(shape, dtype=bool)
            low = [int(random.integers(n)) for n in shape]
            fluid[tuple(slice(i, i + 1 + n // 3) for i, n in zip(low, shape, strict=True))] = False
        fluid = torch.from_numpy(fluid)
    return Diffusion(a, grid, reaction=reaction, fluid=fluid)


def assert_spd(M, A, rtol=1e-10):
    """M is linear and symmetric, and positive definite on the range of A, by all its eigenvalues.

    Of M as a matrix, from its columns; where A is singular its zeros are those of A, the floating
    regions and the solid nodes.
    """
    check_spd(M, probes=1, rtol=rtol)
    size = A.grid.num_nodes
    columns = M @ torch.eye(size, dtype=torch.float64).reshape(size, *A.grid.shape)
    matrix = columns.reshape(size, size)
    scale = matrix.abs().max()
    assert (matrix - matrix.T).abs().max() <= rtol * scale
    solid = 0 if A.regions.labels is None else int((A.regions.labels < 0).sum())
    zeros = solid + A.regions.num_floating
    # Scaled to a unit diagonal where it has one, so that jumps of a are not taken for zeros.
    d = matrix.diagonal().clamp(min=0)
    s = torch.where(d > 1e-14 * scale, d.rsqrt(), 1 / math.sqrt(scale))
    values = torch.linalg.eigvalsh(s[:, None] * (matrix + matrix.T) / 2 * s)
    assert int((values > 1e-12 * values[-1]).sum()) == size - zeros
    assert values[0] > -1e-10 * values[-1]


def assert_spd_for_any_weights(model, systems, generator, draws=50):
    """The same for `draws` random weights of a model, `model.on(A)` being M; each on one of the
    systems in turn, and by probes on the next.

    Weights are normal, from a tenth to ten times as large as a fresh layer's.
    """
    fresh = {name: p.detach().clone() for name, p in model.named_parameters()}
    for draw in range(draws):
        size = 10.0 ** torch.empty(()).uniform_(-1, 1, generator=generator).item()
        with torch.no_grad():
            for p in model.parameters():
                width = math.sqrt(max(p[0].numel(), 1))
                p.copy_(size / width * torch.randn(p.shape, generator=generator))
        first, second = (systems[(draw + i) % len(systems)] for i in (0, 1))
        assert_spd(model.on(first), first)
        check_spd(model.on(second), probes=1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(fresh[name])


def systems(ndim=None):
    """The twenty systems, or those of one dimension."""
    drawn = map(random_system, SEEDS)
    return [A for A in drawn if ndim in (None, A.ndim)]
