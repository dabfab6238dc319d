"""Graphs of torch.compile and torch.export: which operations of pdeops they keep.

`test_triton.py` runs the scripts `traced_*.py` in a process with Triton's interpreter.
"""

import torch
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.backends.debugging import boxed_nop


def operations(graph):
    """The operations of pdeops of a graph, in order."""
    targets = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    return [t.split(".")[1] for t in targets if t.startswith("pdeops.")]


def compiled(function, found):
    """The function by torch.compile; adds each graph, forward and backward, to the list `found`."""

    def compiler(module, inputs):
        found.append(module.graph)
        return boxed_nop(module, inputs)

    return torch.compile(function, fullgraph=True, backend=aot_autograd(fw_compiler=compiler))
