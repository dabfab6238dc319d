import pytest
import torch

from pdeops.kernels import low_storage, low_storage_reference, vorticity, vorticity_reference

REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}


@pytest.fixture(params=REAL)
def random(request, generator):
    def make(*shape, real=False):
        dtype = REAL[request.param] if real else request.param
        return torch.randn(shape, generator=generator, dtype=dtype)

    return make


@pytest.mark.parametrize("n", [12, 13])
def test_the_loops_equal_the_plain_twin(n, random):
    K, b, l = 3, 2, 4
    k, m = 2 * K + 1, 2 * l - 1
    a, c, w = random(l, k, real=True), random(l, k, real=True), random(b, l, k)

    fast, plain = torch.zeros(2, b, m, n, dtype=w.dtype)
    vorticity.velocity(w, a, c, fast)
    vorticity_reference.velocity(w, a, c, plain)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)
    assert not fast[..., k:].any()
    assert fast[..., :k].all()

    z = random(b, 5, 7)
    fast, plain = z.clone(), z.clone()
    vorticity.products(fast)
    vorticity_reference.products(plain)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)

    square = random(b, m, n)
    fast, plain = torch.empty(2, b, l, k, dtype=w.dtype)
    vorticity.tendency(square, a, c, fast)
    vorticity_reference.tendency(square, a, c, plain)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, -0.7])
def test_low_storage_stage(beta, random):
    u, h, N = random(3, 2, 4, 5), random(3, 2, 4, 5), random(3, 2, 4, 5)
    decay, gain = random(4, 5, real=True), random(4, 5, real=True)
    if beta == 0:
        h.fill_(torch.nan)
    assert low_storage.serves(u, decay)
    fast, plain = (u.clone(), h.clone()), (u.clone(), h.clone())
    low_storage.update(*fast, N, beta, decay, gain)
    low_storage_reference.update(*plain, N, beta, decay, gain)
    for x, y in zip(fast, plain, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


def test_low_storage_declines_what_it_cannot_do(random):
    u, symbol = random(2, 3, 4), random(3, 4, real=True)
    assert not low_storage.serves(u.transpose(0, 1), symbol)
    assert not low_storage.serves(u, random(3, 4))
    assert not low_storage.serves(u, random(1, 4, real=True))
    assert not low_storage.serves(u.real.contiguous(), symbol)
