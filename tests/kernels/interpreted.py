"""Tests of the Triton kernels in Triton's interpreter, on the CPU.

`test_triton.py` runs them, and a row of the contract, in a process with TRITON_INTERPRET=1.
"""

import pytest
import torch

from pdeops.kernels import spectral_conv
from pdeops.kernels.spectral_conv import cpu, functions, gpu, matrices, triton_launch


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def tables(shape, n_modes):
    return matrices.constants(shape, n_modes, torch.float32, torch.device("cpu"))[0]


def compare(u, n_modes):
    """A and Aᵀ of the Triton kernels and of products of matrices."""
    A = tables(tuple(u.shape[1:-1]), n_modes)
    u_hat = gpu.analysis(u, A)
    torch.testing.assert_close(u_hat, cpu.analysis(u, A), rtol=1e-4, atol=1e-4)
    first = cpu.channels_first_in_memory(u)
    v, expected = (form.synthesis(u_hat, A, first, u.dtype) for form in (gpu, cpu))
    assert v.stride() == expected.stride()
    torch.testing.assert_close(v, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_triton_takes_float32_and_bfloat16_and_the_products_take_the_rest():
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert functions._form(torch.ones(2, dtype=dtype), 2) is gpu
    assert functions._form(torch.ones(2, dtype=torch.float64), 2) is cpu
    assert functions._form(torch.ones(2), 4) is cpu


@pytest.mark.parametrize("channels_first", [True, False])
def test_rows_are_divided_into_parts(channels_first, monkeypatch):
    """The last part has one row; channels do not fill a tile."""
    monkeypatch.setattr(triton_launch, "PROGRAMS", 3)
    u = draw(1, 5, 33, 9).movedim(1, -1) if channels_first else draw(1, 33, 9, 5)
    assert triton_launch.division(1, 33, 16, u) == (3, 16)
    compare(u, (2, 2))


def test_lines_are_divided_into_parts_and_tiles_of_modes(monkeypatch):
    monkeypatch.setattr(triton_launch, "PROGRAMS", 8)
    assert len(tables((150,), (130,))[0]) == 2 * 66  # two tiles of at most 64
    compare(draw(1, 150, 2), (130,))


@pytest.mark.parametrize("channels_first", [True, False])
def test_planes_of_many_modes_are_transformed_by_lines(channels_first, monkeypatch):
    monkeypatch.setattr(triton_launch, "REGISTERS", 0)
    u = draw(1, 3, 5, 6).movedim(1, -1) if channels_first else draw(1, 5, 6, 3)
    compare(u, (4, 4))


def test_no_samples_give_no_result():
    u, weight = draw(0, 5, 6, 3).requires_grad_(), draw(2, 2, 3, 2, 4).requires_grad_()
    v = spectral_conv.convolve(u, weight)
    assert v.shape == (0, 5, 6, 4)
    assert torch.equal(torch.autograd.grad(v.sum(), weight)[0], torch.zeros_like(weight))


def test_gradients_can_be_differentiated_again():
    u, weight = draw(1, 3, 4, 2).requires_grad_(), draw(2, 2, 2, 2, 2).requires_grad_()

    def penalty(convolve):
        (g,) = torch.autograd.grad(convolve(u, weight).square().sum(), u, create_graph=True)
        return torch.autograd.grad(g.pow(3).sum(), (u, weight))

    def plain(u, weight):
        return spectral_conv.reference.convolve(u.movedim(-1, 1), weight).movedim(1, -1)

    torch.testing.assert_close(
        penalty(spectral_conv.convolve), penalty(plain), rtol=1e-5, atol=1e-3
    )
