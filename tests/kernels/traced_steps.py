"""torch.compile and torch.export keep the operations of time steps (`traced.py`)."""

import torch

from pdeops.kernels import etdrk4, low_storage, vorticity

from .traced import compiled, operations

OPERATIONS = [
    "etdrk4_pair",
    "etdrk4_last_stage",
    "etdrk4_update",
    "low_storage_update",
    "vorticity_velocity",
    "vorticity_products",
    "vorticity_tendency",
]


class Step(torch.nn.Module):
    def __init__(self, f, u):
        super().__init__()
        self.f = f
        self.sums, self.stage = etdrk4.bind(u, f), low_storage.bind(u, f)
        self.flow = vorticity.bind(u, (8, 8)).loops

    def forward(self, u, v):
        f, flow, sums = self.f, self.flow, self.sums
        u, a, z = u.clone(), torch.empty_like(u), u.new_zeros(2, 5, 9)
        sums.pair(f, u, f, v, a)
        sums.last_stage(f, u, f, v, a, a)
        sums.update(u, (f, f, f, f), (v, v, a, v))
        self.stage(u, a, v, -0.7, f, f)
        flow.velocity(u, f, f, z)
        flow.products(z)
        flow.tendency(z, f, f, a)
        return u, a, z


def main():
    generator = torch.Generator().manual_seed(0)
    fields = torch.randn(2, 2, 3, 5, generator=generator, dtype=torch.complex64).unbind()
    f = torch.randn(3, 5, generator=generator)
    step, graphs = Step(f, fields[0]), []
    with torch.no_grad():
        expected = step(*fields)
        torch.testing.assert_close(compiled(step, graphs)(*fields), expected)
        (graph,) = graphs
        changed = [n for n in graph.nodes if "auto_functionalized" in str(n.target)]
        assert len(changed) == len(OPERATIONS), graph
        exported = torch.export.export(step, fields)
        assert operations(exported.graph) == OPERATIONS
        torch.testing.assert_close(exported.module()(*fields), expected)


if __name__ == "__main__":
    main()
