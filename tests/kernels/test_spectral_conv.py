"""Truncated transforms by matrix products agree with the twin by FFT, forward and backward."""

import subprocess
import sys
import threading

import pytest
import torch

from pdeops.kernels import spectral_conv as fast
from pdeops.kernels.spectral_conv import matrices
from pdeops.kernels.spectral_conv import reference as plain

TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
CASES = [
    # shape, n_modes
    ((16,), (8,)),
    ((127,), (24,)),
    ((1024,), (80,)),  # by FFT
    ((16, 16), (12, 12)),
    ((64, 64), (24, 24)),
    ((128, 128), (24, 24)),
    ((61, 85), (24, 16)),  # odd, not square
    ((37, 64), (12, 24)),  # a prime
    ((24, 24), (24, 24)),  # all modes, the last plane is real
    ((25, 25), (24, 24)),
    ((16, 15), (24, 24)),  # more modes than the grid holds
    ((48, 9), (24, 24)),
    ((2, 1), (4, 4)),
    ((16, 18, 20), (8, 6, 8)),
    ((9, 10, 11), (8, 12, 12)),
    ((8, 8, 8), (8, 8, 8)),
]
every_case = pytest.mark.parametrize(("shape", "n_modes"), CASES, ids=str)


def draw(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def weights(n_modes, channels_in, channels_out, dtype):
    modes = (*n_modes[:-1], n_modes[-1] // 2 + 1)
    return draw(*modes, channels_in, 2, channels_out, dtype=dtype, seed=1)


def close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    assert (actual - expected).norm() <= tolerance * expected.norm()
    return True


def results(convolve, u, weight, g):
    """The result and the gradients in u and weight."""
    u, weight = u.detach().requires_grad_(), weight.detach().requires_grad_()
    v = convolve(u, weight)
    return v.detach(), *torch.autograd.grad(v, (u, weight), g)


def channels_first(u, weight):
    return fast.convolve(u.movedim(1, -1), weight).movedim(-1, 1)


def channels_last(u, weight):
    u = u.movedim(1, -1).contiguous()
    return fast.convolve(u, weight).movedim(-1, 1)


@both_dtypes
@every_case
@pytest.mark.parametrize("convolve", [channels_first, channels_last])
def test_agrees_with_the_twin(convolve, shape, n_modes, dtype):
    u, g = draw(2, 3, *shape, dtype=dtype), draw(2, 4, *shape, dtype=dtype, seed=2)
    weight = weights(n_modes, 3, 4, dtype)
    expected = results(plain.convolve, u.double(), weight.double(), g.double())
    for actual, x in zip(results(convolve, u, weight, g), expected, strict=True):
        assert actual.dtype == dtype
        close(actual.double(), x, TOLERANCE[dtype])


def test_a_mode_less_is_seen():
    """Negative control: what the comparison above finds when one mode is wrong."""
    u, weight = draw(2, 3, 32, 32), weights((8, 8), 3, 4, torch.float64)
    wrong = weight.clone()
    wrong[0, 0] *= 2
    v, w = plain.convolve(u, weight), fast.convolve(u.movedim(1, -1), wrong).movedim(-1, 1)
    assert (v - w).norm() > 0.01 * v.norm()


def test_memory_layout_of_the_result_is_that_of_the_field():
    weight = weights((8, 8), 3, 4, torch.float64)
    u = draw(2, 3, 16, 20)
    assert channels_first(u, weight).is_contiguous()
    assert channels_last(u, weight).movedim(1, -1).is_contiguous()


@every_case
def test_pointwise_map_acts_on_the_result(shape, n_modes):
    u, weight = draw(2, *shape, 3), weights(n_modes, 3, 4, torch.float64)
    M, m = draw(5, 4, seed=3), draw(5, seed=4)
    close(fast.convolve(u, weight, (M, m)), fast.convolve(u, weight) @ M.T + m, 1e-14)


@every_case
def test_adjoint(shape, n_modes):
    """<v, K u> = <K* v, u>, K* the convolution with W_k^H, which is how its gradient is made."""
    u, v = draw(1, *shape, 2), draw(1, *shape, 3, seed=2)
    weight = weights(n_modes, 2, 3, torch.float64)
    turned = torch.stack([weight[..., 0, :], -weight[..., 1, :]], dim=-1).permute(
        *range(len(shape)), -2, -1, -3
    )
    right = (fast.convolve(v, turned.contiguous()) * u).sum()
    left = (fast.convolve(u, weight) * v).sum()
    assert left.item() == pytest.approx(right.item(), rel=1e-12)


def test_second_derivatives():
    """Networks whose loss contains derivatives in the input (PINNs) need them."""
    u, weight = draw(1, 5, 6, 2).requires_grad_(), weights((4, 4), 2, 2, torch.float64)
    M, m = draw(1, 2, seed=3).requires_grad_(), draw(1, seed=4).requires_grad_()
    weight.requires_grad_()

    def loss(u, weight, M, m):
        return fast.convolve(u, weight, (M, m))

    assert torch.autograd.gradgradcheck(loss, (u, weight, M, m))


def test_gradient_is_that_of_differences():
    for shape, n_modes in [((7,), (4,)), ((5, 6), (4, 4)), ((4, 3, 4), (2, 4, 2))]:
        u = draw(1, *shape, 2).requires_grad_()
        weight = weights(n_modes, 2, 1, torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(fast.convolve, (u, weight))


def test_gradients_under_autocast_have_full_precision():
    u = draw(2, 3, 17, 16, dtype=torch.float32).movedim(1, -1).requires_grad_()
    weight = weights((8, 8), 3, 4, torch.float32).requires_grad_()
    expected = torch.autograd.grad(fast.convolve(u, weight).square().sum(), (u, weight))
    v = fast.convolve(u, weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(v.square().sum(), (u, weight))
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_transforms_of_functions():
    """torch.func: gradients per sample by grad, first use of a grid's constants inside."""
    weight, u = weights((4, 4), 2, 2, torch.float64), draw(3, 13, 14, 2)

    def loss(weight, u):
        return fast.convolve(u, weight).square().sum()

    inside = torch.func.vmap(torch.func.grad(loss), (None, 0))(weight, u[:, None])
    for gradient, sample in zip(inside, u, strict=True):
        w = weight.clone().requires_grad_()
        (outside,) = torch.autograd.grad(loss(w, sample[None]), w)
        close(gradient, outside, 1e-14)


def test_constants_made_in_inference_mode_serve_training():
    weight, u = weights((4, 4), 1, 1, torch.float64), draw(1, 12, 17, 1)
    with torch.inference_mode():
        v = fast.convolve(u, weight)
    weight.requires_grad_()
    w = fast.convolve(u, weight)
    w.sum().backward()
    assert torch.equal(v, w)


def test_constants_are_kept_and_their_number_is_bounded():
    arguments = ((16, 16), (8, 8), torch.float32, torch.device("cpu"))
    assert matrices.constants(*arguments)[0][0] is matrices.constants(*arguments)[0][0]
    for n in range(2, matrices._CACHED + 10):
        matrices.constants((n,), (2,), torch.float32, torch.device("cpu"))
    assert len(matrices._CACHE) <= matrices._CACHED


def test_threads_share_nothing_that_changes():
    weight = weights((8, 8), 3, 3, torch.float64)
    fields = [draw(2, n, n + 1, 3, seed=n) for n in range(20, 28)]
    expected = [fast.convolve(u, weight) for u in fields]
    found = [None] * len(fields)
    matrices._CACHE.clear()

    def work(i):
        for _ in range(5):
            found[i] = fast.convolve(fields[i], weight)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(fields))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.slow
def test_compiles_as_one_graph(tmp_path):
    script = tmp_path / "compiled.py"
    script.write_text(
        """
import torch
from pdeops.kernels.spectral_conv import convolve
torch.manual_seed(0)
weight = torch.randn(8, 5, 3, 2, 4, requires_grad=True)
for u in (torch.randn(2, 17, 20, 3), torch.randn(2, 3, 17, 20).movedim(1, -1)):
    results = []
    for f in (convolve, torch.compile(convolve, fullgraph=True)):
        x = u.detach().requires_grad_()
        v = f(x, weight)
        results.append([v, *torch.autograd.grad(v.square().sum(), (x, weight))])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
