"""torch.compile and torch.export keep a learned cycle as one operation, forward and backward
(`traced.py`)."""

import torch

from pdeops.domain import Grid
from pdeops.nn.multigrid import MultigridCycle

from .traced import compiled, operations


def main():
    torch.manual_seed(0)
    layer = MultigridCycle(2, 3, Grid((5, 4)), levels=2, sweeps=(1, 0))
    f = torch.randn(1, 2, 5, 4)
    graphs = []

    results = []
    for function in (layer, compiled(layer, graphs)):
        x = f.clone().requires_grad_()
        u = function(x)
        results.append([u, *torch.autograd.grad(u.square().sum(), (x, *layer.parameters()))])
    torch.testing.assert_close(*results)
    found = [operations(graph) for graph in graphs]
    assert found == [["multichannel_cycle"], ["multichannel_cycle_gradients"]], found

    with torch.no_grad():
        exported = torch.export.export(layer, (f,))
        assert operations(exported.graph) == ["multichannel_cycle"]
        torch.testing.assert_close(exported.module()(f), layer(f))

    f, *weights = (t.detach() for t in (f, *layer.weights))
    numbers = [*layer.plan, *layer.geometry.integers()]
    operation = torch.ops.pdeops.multichannel_cycle
    for keep in (False, True):
        torch.library.opcheck(operation, (f, weights, numbers, keep), test_utils=CHECKS)
    u, *kept = operation(f, weights, numbers, True)
    arguments = (torch.randn_like(u), f, kept, weights, numbers)
    torch.library.opcheck(
        torch.ops.pdeops.multichannel_cycle_gradients, arguments, test_utils=CHECKS
    )


# Of the schema, that no argument is changed and no result is a part of an argument; of tensors
# without values, that shapes and strides are those of the results.
CHECKS = ("test_schema", "test_faketensor")

if __name__ == "__main__":
    main()
