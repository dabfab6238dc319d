"""The tiles agree with the plain twin, forward and backward, in each dtype."""

import itertools
import threading

import pytest
import torch
import torch.nn.functional as F

from pdeops.kernels import fno
from pdeops.kernels.fno import composed, cpu
from pdeops.kernels.fno import reference as plain

TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
LAYERS = [
    # shape, n_modes
    ((50,), (8,)),
    ((32, 32), (12, 12)),
    ((21, 40), (8, 12)),
    ((13, 13), (16, 16)),  # fewer nodes than modes
    ((8, 9, 10), (4, 6, 4)),
]
every_layer = pytest.mark.parametrize(("shape", "n_modes"), LAYERS, ids=str)
RESIZED = [
    # shape, to shape
    ((40,), (40,)),
    ((13, 17), (13, 17)),
    ((13, 17), (16, 20)),
    ((16, 20), (13, 17)),
    ((16, 17), (13, 20)),
    ((7, 8, 9), (7, 10, 9)),
]


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    """Several tiles, the last one shorter than the others."""
    monkeypatch.setattr(cpu, "TILE", 100)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_arguments(shape, n_modes, *, c=3, k=5, m=4, o=2):
    modes = (*n_modes[:-1], n_modes[-1] // 2 + 1)
    sizes = [(2, *shape, c), (*modes, c, 2, k), (m, k), (m,), (o, m), (o, c), (o,)]
    return [draw(*size, seed=i) for i, size in enumerate(sizes)]


def mlp_arguments(shape, *, c=3, m=7, o=2):
    return [draw(*s, seed=i) for i, s in enumerate([(2, *shape, c), (m, c), (m,), (o, m), (o,)])]


def results(function, arguments, g=None):
    """The result and all gradients."""
    arguments = [x.detach().requires_grad_() for x in arguments]
    v = function(*arguments)
    g = draw(*v.shape, seed=9).to(v.dtype)
    return v.detach(), *torch.autograd.grad(v, arguments, g)


def plain_layer(activate):
    def layer(u, K, M1, m1, M2, W, w):
        maps = (K, M1, m1, M2, torch.zeros_like(w), W, w)
        v = plain.fourier_layer(u.movedim(-1, 1), *maps).movedim(1, -1)
        return F.gelu(v) if activate else v

    return layer


def plain_mlp(shape):
    return lambda u, *maps: plain.pointwise_mlp(u.movedim(-1, 1), shape, *maps).movedim(1, -1)


def all_close(function, twin, arguments, dtype):
    found = results(function, [x.to(dtype) for x in arguments])
    for actual, expected in zip(found, results(twin, arguments), strict=True):
        assert actual.dtype == dtype
        assert actual.shape == expected.shape
        assert (actual - expected).norm() <= TOLERANCE[dtype] * expected.norm()


@both_dtypes
@every_layer
@pytest.mark.parametrize("activate", [True, False])
def test_layer_agrees_with_the_twin(shape, n_modes, activate, dtype):
    arguments = layer_arguments(shape, n_modes)
    for function in (fno.fourier_layer, lambda *x, activate: composed.fourier_layer(*x, activate)):
        all_close(
            lambda *x, f=function: f(*x, activate=activate), plain_layer(activate), arguments, dtype
        )


@both_dtypes
@pytest.mark.parametrize(("shape", "to"), RESIZED)
def test_pointwise_mlp_agrees_with_the_twin(shape, to, dtype):
    arguments = mlp_arguments(shape)
    for function in (fno.pointwise_mlp, composed.pointwise_mlp):
        all_close(
            lambda u, *maps, f=function: (
                f(u, *maps, to) if f is composed.pointwise_mlp else f(u, to, *maps)
            ),
            plain_mlp(to),
            arguments,
            dtype,
        )


def test_an_activation_less_is_seen():
    """Negative control: the two variants of the layer are told apart."""
    arguments = layer_arguments((32, 32), (12, 12))
    v = fno.fourier_layer(*arguments, activate=True)
    assert (v - fno.fourier_layer(*arguments, activate=False)).norm() > 0.1 * v.norm()


def test_fields_that_do_not_lie_in_a_row():
    u, *maps = layer_arguments((20, 21), (8, 8))
    strided = u.transpose(1, 2).contiguous().transpose(1, 2)
    v = fno.fourier_layer(u, *maps, activate=True)
    assert torch.equal(fno.fourier_layer(strided, *maps, activate=True), v)
    u, *maps = mlp_arguments((20, 21))
    strided = u.movedim(-1, 1).contiguous().movedim(1, -1)
    v = fno.pointwise_mlp(u, (20, 21), *maps)
    torch.testing.assert_close(fno.pointwise_mlp(strided, (20, 21), *maps), v)


def test_second_derivatives():
    layer = [x.requires_grad_() for x in layer_arguments((4, 5), (2, 4), c=1, k=1, m=2, o=1)]
    assert torch.autograd.gradgradcheck(lambda *x: fno.fourier_layer(*x, activate=True), layer)
    mlp = [x.requires_grad_() for x in mlp_arguments((4, 5), c=2, m=2, o=1)]
    assert torch.autograd.gradgradcheck(lambda u, *x: fno.pointwise_mlp(u, (5, 4), *x), mlp)


def test_transforms_of_functions():
    """Gradients per sample by torch.func."""
    u, *maps = layer_arguments((20, 21), (8, 8))
    _, *mlp = mlp_arguments((1,), c=2)

    def loss(K, u):
        v = fno.fourier_layer(u[None], K, *maps[1:], activate=True)
        return fno.pointwise_mlp(v, (20, 21), *mlp).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(maps[0], u)
    for gradient, sample in zip(found, u, strict=True):
        K = maps[0].clone().requires_grad_()
        torch.testing.assert_close(gradient, *torch.autograd.grad(loss(K, sample), K))


def test_jacobian():
    """Many gradients at once, by torch.func."""
    u, *maps = layer_arguments((6, 5), (4, 4), c=1, o=1)
    _, *mlp = mlp_arguments((1,), c=1)

    def f(u):
        return fno.pointwise_mlp(fno.fourier_layer(u, *maps, activate=True), (6, 4), *mlp)

    expected = torch.autograd.functional.jacobian(f, u)
    torch.testing.assert_close(torch.func.jacrev(f)(u), expected)


def test_threads_share_nothing():
    cases = [layer_arguments((n, n + 1), (8, 8)) for n in range(20, 26)]

    def work(case):
        return results(lambda *x: fno.fourier_layer(*x, activate=True), case)

    expected, found = [work(case) for case in cases], [None] * len(cases)

    def repeat(i):
        for _ in range(5):
            found[i] = work(cases[i])

    threads = [threading.Thread(target=repeat, args=(i,)) for i in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pairs = zip(itertools.chain(*found), itertools.chain(*expected), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_inputs_are_left_as_they_were():
    """Gradients too: they may belong to another branch of the graph."""
    arguments = layer_arguments((20, 21), (8, 8))
    copies = [x.clone() for x in arguments]
    v = fno.fourier_layer(*(x.requires_grad_() for x in arguments), activate=True)
    value, g = v.detach().clone(), draw(*v.shape, seed=9)
    v.backward(g)
    assert torch.equal(g, draw(*v.shape, seed=9))
    assert torch.equal(v, value)
    assert all(torch.equal(a, b) for a, b in zip(arguments, copies, strict=True))
