import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels import etdrk4 as etdrk4_operation
from pdeops.kernels import low_storage as low_storage_operation
from pdeops.kernels import vorticity as vorticity_operation
from pdeops.kernels.etdrk4 import cpu as etdrk4
from pdeops.kernels.etdrk4 import reference as etdrk4_reference
from pdeops.kernels.low_storage import cpu as low_storage
from pdeops.kernels.low_storage import reference as low_storage_reference
from pdeops.kernels.runtime.threads import one_thread
from pdeops.kernels.vorticity import cpu as vorticity
from pdeops.kernels.vorticity import reference as vorticity_reference
from pdeops.solvers import NavierStokes

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


@pytest.mark.parametrize("shape", [(8, 9), (7, 10)])
def test_both_axes_at_once_give_the_convection(shape, generator):
    """As on devices without loops for single axes."""
    flow = NavierStokes(Grid(shape, extent=(1.0, 2.0), boundary="periodic"), 0.01)
    w = torch.randn(3, 1, *shape, generator=generator, dtype=torch.float64)
    u_hat = flow.encode(w - w.mean((-2, -1), keepdim=True))
    with vorticity_operation.FORMS.twin():
        assert vorticity_operation.bind(u_hat, shape).both_axes
        N = flow.nonlinear_into(u_hat, 0.0, torch.empty_like(u_hat))
    torch.testing.assert_close(N, flow.nonlinear(u_hat, 0.0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("rows", "first", "count"), [(7, 0, 13), (13, 3, 7), (97, 5, 101)])
def test_turned_by_tiles(rows, first, count, random):
    z = random(2, rows, first + count + 1)
    fast, plain = random(2, count, rows + 2).repeat(2, 1, 1, 1)
    vorticity.turn(z, first, count, fast)
    vorticity_reference.turn(z, first, count, plain)
    assert torch.equal(fast, plain)


def test_sums_of_etdrk4(random):
    """Twice: the second update starts from the result of the first."""
    factors = [random(4, 5, real=True) for _ in range(6)]
    E, E2, Q, f1, f2, f3 = factors
    u, *N = (random(3, 2, 4, 5) for _ in range(5))
    results = []
    for sums in (etdrk4, etdrk4_reference):
        state, a, b = u.clone(), torch.empty_like(u), torch.empty_like(u)
        sums.pair(E2, state, Q, N[0], a)
        sums.last_stage(E2, a, Q, N[2], N[0], b)
        for _ in range(2):
            sums.update(state, (E, f1, f2, f3), N)
        results.append((a, b, state))
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, -0.7])
def test_low_storage_stage(beta, random):
    u, h, N = random(3, 2, 4, 5), random(3, 2, 4, 5), random(3, 2, 4, 5)
    decay, gain = random(4, 5, real=True), random(4, 5, real=True)
    if beta == 0:
        h.fill_(torch.nan)
    fast, plain = (u.clone(), h.clone()), (u.clone(), h.clone())
    low_storage.update(*fast, N, beta, decay, gain)
    low_storage_reference.update(*plain, N, beta, decay, gain)
    for x, y in zip(fast, plain, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


def test_loops_take_only_what_splits_into_parts(random):
    u, symbol = random(2, 3, 4), random(3, 4, real=True)
    assert low_storage_operation.bind(u, symbol) is low_storage.update
    assert etdrk4_operation.bind(u, symbol) is etdrk4
    for field, factor in [
        (u.transpose(0, 1), symbol),
        (u, random(3, 4)),
        (u, random(1, 4, real=True)),
        (u.real.contiguous(), symbol),
    ]:
        assert low_storage_operation.bind(field, factor) is low_storage_reference.update
        assert etdrk4_operation.bind(field, factor) is etdrk4_reference


def test_one_thread_for_a_while():
    """Restored also where the work fails."""

    def fail():
        with one_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            fail()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
