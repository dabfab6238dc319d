"""Recomputed intermediate results: the same values and derivatives, and less memory."""

import pytest
import torch

from pdeops.nn.recomputation import recomputed
from pdeops.nn.spectral_block import NeuralSpectralBlock


def block(dtype):
    torch.manual_seed(0)
    return NeuralSpectralBlock(8, num_heads=2, num_basis=5).to(dtype)


def kept_bytes(f, x):
    """The memory of the tensors that autograd keeps for the gradient of f at x."""
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        f(x)
    return sum(sizes.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_the_same(dtype, generator):
    made = block(dtype)
    u = torch.randn(2, 8, 4, 6, generator=generator, dtype=dtype)
    found = []
    for form in (made, made.keeping_all):
        v = u.clone().requires_grad_()
        y = form(v, (2, 3))
        first = torch.autograd.grad(y.square().sum(), [v, *made.parameters()], create_graph=True)
        (second,) = torch.autograd.grad(first[0].square().sum(), v)
        found.append([y, *first, second])
        assert second.norm() > 0
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_keeps_less_memory(generator):
    """A block keeps its field and its weights; keeping all takes several times the field."""
    made = block(torch.float64)
    u = torch.randn(4, 8, 16, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    field = u.untyped_storage().nbytes()
    assert kept_bytes(lambda v: made(v, (4, 4)), u) <= field
    assert kept_bytes(lambda v: made.keeping_all(v, (4, 4)), u) > 3 * field


def test_transformations_of_torch_func_and_evaluation_call_the_function(generator):
    x = torch.randn(3, generator=generator, dtype=torch.float64)
    slope = torch.func.grad(lambda v: recomputed(torch.sin, v).sum())(x)
    torch.testing.assert_close(slope, x.cos())
    calls = []

    def f(v):
        calls.append(len(v))
        return v.exp()

    with torch.no_grad():
        assert not recomputed(f, x).requires_grad
    recomputed(f, x.requires_grad_()).sum().backward()
    assert calls == [3, 3, 3]  # once, and twice with a gradient
    torch.testing.assert_close(x.grad, x.detach().exp())
