"""torch.compile and torch.export keep a learned cycle as one operation, forward and backward.

`test_triton.py` runs this script in a process with Triton's interpreter.
"""

import torch
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.backends.debugging import boxed_nop

from pdeops.domain import Grid
from pdeops.nn.multigrid import MultigridCycle


def operations(graph):
    targets = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    return [t.split(".")[1] for t in targets if t.startswith("pdeops.")]


def main():
    torch.manual_seed(0)
    layer = MultigridCycle(2, 3, Grid((5, 4)), levels=2, sweeps=(1, 0))
    f = torch.randn(1, 2, 5, 4)
    graphs = []

    def compiler(module, inputs):
        graphs.append(operations(module.graph))
        return boxed_nop(module, inputs)

    compiled = torch.compile(layer, fullgraph=True, backend=aot_autograd(fw_compiler=compiler))
    results = []
    for function in (layer, compiled):
        x = f.clone().requires_grad_()
        u = function(x)
        found = torch.autograd.grad(u.square().sum(), (x, *layer.parameters()))
        results.append([u, *found])
    torch.testing.assert_close(*results)
    assert graphs == [["multichannel_cycle"], ["multichannel_cycle_gradients"]], graphs

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
