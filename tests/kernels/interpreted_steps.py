"""Tests of the Triton kernels of time steps in Triton's interpreter, on the CPU; see
`interpreted.py`."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels import etdrk4, low_storage, vorticity
from pdeops.kernels.etdrk4 import gpu as etdrk4_gpu
from pdeops.kernels.etdrk4 import reference as etdrk4_reference
from pdeops.kernels.low_storage import reference as low_storage_reference
from pdeops.kernels.runtime import waves
from pdeops.kernels.vorticity import gpu as vorticity_gpu
from pdeops.kernels.vorticity import reference as vorticity_reference
from pdeops.solvers import NavierStokes

REAL = (torch.float32, torch.float64)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-14}


def draw(count, shape, dtype):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *shape, generator=generator, dtype=dtype).unbind()


def close(found, expected):
    for u, v in zip(found, expected, strict=True):
        tolerance = TOLERANCE[u.real.dtype] * v.abs().max().item()
        torch.testing.assert_close(u, v, rtol=0, atol=tolerance)


def every_kind(test):
    """Real and complex fields and factors, in both precisions."""
    kinds = [(d, d) for d in REAL] + [
        (d.to_complex(), f) for d in REAL for f in (d, d.to_complex())
    ]
    return pytest.mark.parametrize(("field", "factor"), kinds)(test)


@every_kind
@pytest.mark.parametrize("shape", [(1,), (2, 75)], ids=["one wave", "two blocks"])
def test_sums_of_etdrk4_equal_the_twin(field, factor, shape, monkeypatch):
    monkeypatch.setattr(waves, "LARGEST", waves.THREADS)
    factors = draw(6, shape, factor)
    E, E2, Q, f1, f2, f3 = factors
    u, *N = draw(5, (2, 1, *shape), field)
    form = etdrk4.bind(u, E)
    assert form.__name__.endswith("etdrk4.gpu")
    results = []
    for sums in (form, etdrk4_reference):
        state, a, b = u.clone(), torch.empty_like(u), torch.empty_like(u)
        sums.pair(E2, state, Q, N[0], a)
        sums.last_stage(E2, a, Q, N[2], N[0], b)
        sums.update(state, (E, f1, f2, f3), N)
        results.append((a, b, state))
    close(*results)


@every_kind
def test_a_low_storage_stage_equals_the_twin(field, factor):
    """Without β the old h, NaN here, is not read."""
    decay, gain = draw(2, (3, 5), factor)
    u, N = draw(2, (2, 3, 5), field)
    update = low_storage.bind(u, decay)
    assert update.__module__.endswith("low_storage.gpu")
    results = []
    for stage in (update, low_storage_reference.update):
        state, h = u.clone(), torch.full_like(u, torch.nan)
        stage(state, h, N, 0.0, decay, gain)
        stage(state, h, N, -0.7, decay, gain)
        results.append((state, h))
    close(*results)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("shape", [(4, 4), (7, 10)])
def test_the_convection_equals_plain_torch(dtype, shape):
    flow = NavierStokes(Grid(shape, extent=(1.0, 2.0), boundary="periodic"), 0.01)
    (w,) = draw(1, (2, 1, *shape), dtype)
    u_hat = flow.encode(w - w.mean((-2, -1), keepdim=True))
    form = vorticity.bind(u_hat, shape)
    assert form.both_axes
    assert form.loops.__name__.endswith("vorticity.gpu")
    N = flow.nonlinear_into(u_hat, 0.0, torch.empty_like(u_hat))
    close([N], [flow.nonlinear(u_hat, 0.0)])


def test_a_batch_is_convected_in_parts(monkeypatch):
    """Three samples at a time as two and one; the candidates are halves of the batch."""
    monkeypatch.setattr(vorticity, "_PART_ON_GPU", 30)
    flow = NavierStokes(Grid((5, 6), boundary="periodic"), 0.01)
    (w,) = draw(1, (3, 1, 5, 6), torch.float64)
    u_hat = flow.encode(w - w.mean((-2, -1), keepdim=True))
    assert vorticity.bind(u_hat, (5, 6)).chunks == (3, 2, 1)
    N = flow.nonlinear_into(u_hat, 0.0, torch.empty_like(u_hat))
    (space,) = flow._spaces[1, 3, u_hat.dtype, u_hat.device]
    parts = torch.empty_like(N)
    space._in_parts(u_hat, parts, 2)
    close([N, parts], [flow.nonlinear(u_hat, 0.0)] * 2)


def test_fields_that_are_read_need_not_be_contiguous():
    f, g = draw(2, (3, 5), torch.float32)
    u, v = draw(2, (2, 3, 5), torch.complex64)
    apart = [z.mT.contiguous().mT for z in (f, u, g, v)]
    assert not any(z.is_contiguous() for z in apart)
    out, expected = torch.empty(2, 2, 3, 5, dtype=u.dtype)
    etdrk4_gpu.pair(*apart, out)
    etdrk4_reference.pair(f, u, g, v, expected)
    close([out], [expected])
    w, per_x = draw(2, (2, 3, 5), torch.complex64)[0].mT, draw(1, (5, 3), torch.float32)[0]
    fast, plain = torch.zeros(2, 2, 9, 4, dtype=w.dtype)
    vorticity_gpu.velocity(w, per_x, per_x.mT.contiguous().mT, fast)
    vorticity_reference.velocity(w, per_x, per_x, plain)
    close([fast], [plain])


def test_fields_that_are_written_must_be_contiguous():
    f, u = torch.ones(3, 5), torch.ones(2, 3, 5, dtype=torch.complex64)
    with pytest.raises(ValueError, match="writes contiguous fields; got"):
        etdrk4_gpu.pair(f, u, f, u, torch.empty(2, 5, 3, dtype=u.dtype).mT)
    with pytest.raises(ValueError, match="writes contiguous fields; got"):
        vorticity_gpu.products(u.mT)
    with pytest.raises(ValueError, match="waves of x must be contiguous"):
        vorticity_gpu.velocity(u, f, f, torch.empty(2, 5, 5, dtype=u.dtype).mT)


def test_no_samples():
    f, u = torch.ones(3, 5), torch.ones(0, 3, 5, dtype=torch.complex64)
    etdrk4_gpu.pair(f, u, f, u, u.clone())
    vorticity_gpu.velocity(u, f, f, u.new_zeros(0, 5, 9))
    vorticity_gpu.products(u)
    vorticity_gpu.tendency(u.new_zeros(0, 5, 9), f, f, u.clone())


@pytest.mark.parametrize(
    ("u", "factor", "reason"),
    [
        (torch.ones(2, 3).mT, torch.ones(2), "not contiguous"),
        (torch.ones(2, 3), torch.ones(2, 1), "are not those of the last axes"),
        (torch.ones(2, 3), torch.ones(3, dtype=torch.complex64), "complex factors"),
        (torch.ones(2, 3, dtype=torch.bfloat16), torch.ones(3), "bfloat16 has no Triton kernel"),
    ],
)
def test_other_fields_take_the_twin(u, factor, reason):
    assert reason in waves.unfit(u, factor)
    assert etdrk4.bind(u, factor) is etdrk4_reference
    assert low_storage.bind(u, factor) is low_storage_reference.update
