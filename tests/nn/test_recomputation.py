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
    z = torch.randn(2, 2, 4, 4, generator=generator, dtype=dtype)
    weights = [made.sine, made.cosine]
    found = []
    for form in (lambda v: recomputed(made.solve, v), made.solve):
        v = z.clone().requires_grad_()
        y = form(v)
        first = torch.autograd.grad(y.square().sum(), [v, *weights], create_graph=True)
        (second,) = torch.autograd.grad(first[0].square().sum(), v)
        found.append([y, *first, second])
        assert second.norm() > 0
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_keeps_less_memory(generator):
    """Of the tokens only themselves are kept, where the terms take many times their memory."""
    made = block(torch.float64)
    z = torch.randn(64, 2, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    size = z.untyped_storage().nbytes()
    assert kept_bytes(lambda v: recomputed(made.solve, v), z) <= size
    assert kept_bytes(made.solve, z) > 5 * size
    u = torch.randn(4, 8, 16, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    inside = kept_bytes(lambda v: made(v, (4, 4)), u)
    more_terms = NeuralSpectralBlock(8, num_heads=2, num_basis=50).double()
    assert kept_bytes(lambda v: more_terms(v, (4, 4)), u) < 1.5 * inside


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
