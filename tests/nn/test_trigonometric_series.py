"""Sums of sines and cosines: the plain twin, derivatives of two orders, and memory."""

import pytest
import torch

from pdeops.nn import trigonometric_series as module
from pdeops.nn.trigonometric_series import horner, series

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def arguments(dtype, generator, num_basis=5, patches=7):
    shapes = ((patches, 2, 3, 4), (2, 1, 4, num_basis - 1), (2, 1, 4, num_basis))
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]


@pytest.mark.parametrize("num_basis", [2, 12])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_its_plain_twin(dtype, num_basis, generator, monkeypatch):
    """Values and gradients, in blocks of two patches and a rest; then the gradient of a slope."""
    monkeypatch.setattr(module, "_BLOCK", 50)
    given = arguments(dtype, generator, num_basis)
    weight = torch.randn(given[0].shape, generator=generator, dtype=dtype)
    found = []
    for form in (series, horner):
        y = form(*given)
        gradients = torch.autograd.grad((y * weight).sum(), given)
        (slope,) = torch.autograd.grad(form(*given).square().sum(), given[0], create_graph=True)
        second = torch.autograd.grad(slope.square().sum(), given)
        found.append([y, *gradients, *second])
    for a, b in zip(*found, strict=True):
        assert (a - b).norm() <= TOLERANCE[dtype] * b.norm()
        assert b.norm() > 0


def test_keeps_the_tokens_only(generator):
    given = arguments(torch.float64, generator, num_basis=12, patches=50)
    size = given[0].untyped_storage().nbytes()
    kept = {}
    for form in (series, horner):
        sizes = {}

        def pack(tensor, sizes=sizes):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            form(*given)
        kept[form] = sum(sizes.values())
    assert kept[series] < 1.2 * size
    assert kept[horner] > 10 * size


def test_torch_func_and_mixed_types(generator):
    z, a, b = (v.detach() for v in arguments(torch.float64, generator))
    slope = torch.func.grad(lambda v: series(v, a, b).sum())(z)
    z.requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(series(z, a, b).sum(), z)[0])
    (again,) = torch.autograd.grad(series(z, a, b).sum(), z, create_graph=True)  # a, b fixed
    torch.testing.assert_close(again, slope)
    mixed = series(z.float(), a, b)
    torch.testing.assert_close(mixed, series(z, a, b), rtol=1e-5, atol=1e-5)
