"""On each process of torchrun: fields shared as slabs give what whole fields give."""

import sys
import warnings

import torch
import torch.distributed as dist

from pdeops.domain import Boundary, Grid
from pdeops.kernels.runtime.slabs import Slabs
from pdeops.kernels.spectral_conv.matrices import constants
from pdeops.kernels.spectral_conv.slabs import sums_are_shorter
from pdeops.models.operators.fno import FNO
from pdeops.nn.slabs import split
from pdeops.training import distributed

PERIODIC, DIRICHLET = Boundary.PERIODIC, Boundary.DIRICHLET
CASES = [  # shape, modes, boundary of the first axis, channels of the pointwise networks
    ((16, 10), (4, 6), PERIODIC, 3),  # sums are shorter
    ((16, 10), (12, 6), PERIODIC, 3),  # the transposition is shorter
    ((8, 6), (8, 6), PERIODIC, 0),  # all modes
    ((16, 3), (6, 2), PERIODIC, 3),  # fewer modes of the other axes than processes
    ((15, 9), (12, 4), DIRICHLET, 3),  # the last slab has the padding
    ((15, 9), (2, 4), DIRICHLET, 0),
    ((8, 5, 6), (2, 4, 4), PERIODIC, 3),
    ((8, 5, 6), (6, 4, 4), PERIODIC, 0),
    ((15, 4, 6), (10, 2, 4), DIRICHLET, 3),
]


def results(model, x, y):
    """Output, gradients of a loss in x and in the weights, and the gradient of one of the norm of
    that in x."""
    prediction = model(x)
    loss = (prediction - y).square().sum()
    weights = list(model.parameters())
    dx, *dw = torch.autograd.grad(loss, [x, *weights], create_graph=True)
    (ddx,) = torch.autograd.grad(dx.square().sum(), x)
    return [prediction, dx, ddx], dw


def check(shape, n_modes, boundary, width):
    torch.manual_seed(0)
    others = [PERIODIC if i % 2 else DIRICHLET for i in range(1, len(shape))]
    grid = Grid(shape, boundary=(boundary, *others))
    model = FNO(
        2, 1, grid, n_modes=n_modes, hidden_channels=3, n_layers=2, mlp_channels=width
    ).double()
    x = torch.randn(2, 2, *shape, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 1, *shape, dtype=torch.float64)
    whole, of_weights = results(model, x, y)
    slabs = Slabs()
    split(model, slabs)
    shared, parts = results(model, x, y)
    sums = [part.detach().clone() for part in parts]
    for part in sums:
        dist.all_reduce(part)
    worst = 0.0
    for ours, theirs in zip([*shared, *sums], [*whole, *of_weights], strict=True):
        worst = max(worst, ((ours - theirs).norm() / theirs.norm()).item())
    assert worst < 1e-12, (shape, n_modes, worst)
    A, _ = constants(model.period_cells, tuple(n_modes), x.dtype, x.device)
    return sums_are_shorter(A[0], slabs.size)


def main():
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    with distributed.process_group("cpu"):
        orders = {check(*case) for case in CASES}
        assert orders == {True, False}, "one order of the transforms was never taken"
        refused = FNO(1, 1, Grid((16, 4)), n_modes=(4, 2))
        try:
            split(refused, Slabs())
        except ValueError as error:
            print(error)
        else:
            assert refused.period_cells[0] % distributed.world_size() == 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
