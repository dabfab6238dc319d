"""torch.compile and torch.export keep a spectral convolution as three operations, forward and
backward (`traced.py`)."""

import torch

from pdeops.kernels.spectral_conv import convolve

from .traced import compiled, operations

FORWARD = ["spectral_analysis", "spectral_mix", "spectral_synthesis"]
BACKWARD = ["spectral_analysis", "spectral_mix_gradients", "spectral_synthesis"]


class Layer(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, u):
        return convolve(u, self.weight)


def main():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 2, 3, 2, 4, generator=generator)
    u = torch.randn(1, 5, 6, 3, generator=generator)

    graphs = []
    results = []
    for f in (convolve, compiled(convolve, graphs)):
        x, W = u.clone().requires_grad_(), weight.clone().requires_grad_()
        v = f(x, W)
        results.append([v, *torch.autograd.grad(v.square().sum(), (x, W))])
    torch.testing.assert_close(*results)
    found = [operations(graph) for graph in graphs]
    assert found == [FORWARD, BACKWARD], found

    with torch.no_grad():
        exported = torch.export.export(Layer(weight), (u,))
        assert operations(exported.graph) == FORWARD
        torch.testing.assert_close(exported.module()(u), convolve(u, weight))


if __name__ == "__main__":
    main()
