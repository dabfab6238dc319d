"""One wave scales by the symbol, s = 0 is the quadrature, and nothing is cut off."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdeops.calculus.fourier import (
    apply_multiplier,
    sobolev_multiplier,
    squared_length,
    wavenumbers,
)
from pdeops.calculus.norms import Lp, Sobolev
from pdeops.domain import Grid, Series
from pdeops.losses import Relative

# boundary, placement, series
AXES = [
    ("periodic", "left", "fourier"),
    ("periodic", "centers", "fourier"),
    ("dirichlet", "endpoints", "cosine"),
    ("neumann", "centers", "cosine"),
    ("dirichlet", "endpoints", "sine"),
    ("dirichlet", "interior", "sine"),
    ("dirichlet", "centers", "sine"),
]
ORDERS = [-2, -1, -0.5, 0, 0.5, 1, 2]


def grid_of(axes, shape, extent):
    boundary, placement, series = zip(*axes, strict=True)
    return Grid(shape, extent, boundary, placement), series


def wave_on(grid, axis, series, k, phase):
    """The k-th wave that an axis determines, at the nodes, and its wavenumber."""
    n, L, x = grid.shape[axis], grid.extent[axis], grid.axis(axis)
    if series == "fourier":
        k %= n // 2 + 1
        if 2 * k == n:  # of the Nyquist wave only one phase is seen at the nodes
            phase = -math.pi / 2 if grid.placement[axis] == "centers" else 0.0
        elif k == 0:
            phase = 0.0
        xi = 2 * math.pi * k / L
        return torch.cos(xi * x + phase), xi
    k %= grid.num_waves(axis, Series(series))
    if series == "sine":
        xi = math.pi * (k + 1) / L
        return torch.sin(xi * x), xi
    xi = math.pi * k / L
    return torch.cos(xi * x), xi


# kind of axis, n, L, k, phase
SIDES = st.tuples(
    st.sampled_from(AXES),
    st.integers(3, 33),
    st.floats(0.1, 20),
    st.integers(0, 32),
    st.floats(0, 6),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(SIDES, min_size=1, max_size=3),
    st.sampled_from(ORDERS),
    st.sampled_from([0, 1e-3, 1, 10.0]),
    st.integers(1, 4),
)
def test_one_wave_scales_by_the_symbol(sides, order, alpha, channels):
    """(α + |ξ|²)^{s/2} at every n, box, number of channels, series and mixture of series."""
    kinds, shape, extent, ks, phases = zip(*sides, strict=True)
    grid, series = grid_of(kinds, shape, extent)
    u, squared = torch.arange(1.0, channels + 1, dtype=torch.float64), 0.0
    for axis, s in enumerate(series):
        factor, xi = wave_on(grid, axis, s, ks[axis], phases[axis])
        u, squared = u[..., None] * factor, squared + xi**2
    u = u[None]
    norm = Sobolev(order, grid, alpha, series)
    if alpha == 0 and order < 0 and squared == 0:
        with pytest.raises(ValueError, match="zero mean"):
            norm(u)
        return
    size = Lp(2, domain=grid)(u).item()
    # Rounding errors of the nodes sit in all waves; s weighs the highest, or the lowest, the most.
    symbols = (alpha + squared_length(wavenumbers(grid, series))).flatten()
    noise = 1e-14 * size * symbols[symbols > 0].pow(order / 2).max().item()
    symbol = (alpha + squared) ** (order / 2) if order else 1.0
    assert norm(u).item() == pytest.approx(symbol * size, rel=1e-12, abs=noise)


@pytest.mark.parametrize("k", [1, 19, 20, 25, 32])
def test_no_wave_is_cut_off(k):
    """MgNO's published loss drops |k| >= 20: there k = 25 counted as a constant."""
    grid = Grid((64, 64), 1.0, "periodic")
    x, y = grid.nodes()
    u = torch.cos(2 * math.pi * k * x)[None, None] + 0 * y
    ratio = Sobolev(1, grid)(u) / Lp(2, domain=grid)(u)
    assert ratio.item() == pytest.approx(math.sqrt(1 + (2 * math.pi * k) ** 2), rel=1e-12)


@pytest.mark.parametrize("axes", list(itertools.product(AXES, AXES)))
def test_order_zero_is_the_quadrature_norm(generator, axes):
    for shape in [(6, 7), (5, 8)]:
        grid, series = grid_of(axes, shape, (0.3, 4.0))
        u = torch.randn(3, 2, *shape, generator=generator, dtype=torch.float64)
        for axis, s in enumerate(series):
            if s == "sine" and grid.placement[axis] == "endpoints":
                u.select(axis - 2, 0).zero_()
                u.select(axis - 2, -1).zero_()
        expected = (grid.quadrature() * u.square()).sum((1, 2, 3)).sqrt()
        assert torch.allclose(Sobolev(0, grid, series=series)(u), expected, rtol=1e-13, atol=0)
        assert torch.allclose(Lp(domain=grid)(u), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("alpha", [0, 1, 2.5])
def test_order_one_is_function_and_gradient(generator, alpha):
    """H¹² = α‖u‖² + ‖∂_x u‖² + ‖∂_y u‖², with the exact derivatives of a trigonometric field."""
    grid = Grid((16, 17), (2.0, 0.5), ("periodic", "neumann"), ("left", "centers"))
    x, y = grid.nodes()
    a, b = 2 * math.pi * 3 / 2.0, math.pi * 5 / 0.5
    u, u_x, u_y = (
        torch.sin(a * x + 1) * torch.cos(b * y),
        a * torch.cos(a * x + 1) * torch.cos(b * y),
        -b * torch.sin(a * x + 1) * torch.sin(b * y),
    )
    w = grid.quadrature()
    expected = (w * (alpha * u**2 + u_x**2 + u_y**2)).sum().sqrt()
    found = Sobolev(1, grid, alpha)(u[None, None])
    assert found.item() == pytest.approx(expected.item(), rel=1e-13)


def h1_error(f, exact, n, **arguments):
    grid = Grid((n,), **arguments)
    return abs(Sobolev(1, grid)(f(grid.axis(0))[None, None]).item() / exact - 1)


def test_h1_of_a_function_not_zero_on_the_boundary_by_cosines():
    """exp(cos πx) has zero slope at the ends: spectral convergence though its values are e, 1/e."""
    x = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    u = torch.cos(math.pi * x).exp()
    slope = -math.pi * torch.sin(math.pi * x) * u
    exact = torch.trapezoid(u**2 + slope**2, x).sqrt().item()
    errors = [
        h1_error(lambda x: torch.cos(math.pi * x).exp(), exact, n, placement=placement)
        for n in (5, 9, 17)
        for placement in ("endpoints", "centers")
    ]
    assert errors[0] > 1e-6
    assert max(errors[4:]) < 1e-11


@pytest.mark.parametrize("placement", ["endpoints", "centers"])
def test_h1_of_a_function_with_slopes_at_the_boundary_is_first_order(placement):
    exact = math.sqrt(math.e**2 - 1)  # of exp on [0, 1]
    errors = [h1_error(torch.exp, exact, n, placement=placement) for n in (65, 129, 257)]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert orders == pytest.approx([1, 1], abs=0.05)
    assert errors[0] < 2e-2


def test_sines_of_a_function_not_zero_on_the_boundary_diverge_and_are_refused():
    """Negative control: where the ends are not stored the sine norm grows like √n instead."""
    norms = []
    for n in (63, 127, 255):
        inside = Grid((n,), placement="interior")
        norms.append(Sobolev(1, inside)(inside.axis(0).exp()[None, None]).item())
    growth = [b / a for a, b in itertools.pairwise(norms)]
    assert growth == pytest.approx([math.sqrt(2)] * 2, rel=0.02)
    grid = Grid((65,))
    with pytest.raises(ValueError, match="sine series is zero at both ends"):
        Sobolev(1, grid, series="sine")(grid.axis(0).exp()[None, None])


def test_zero_on_the_boundary_sines_and_cosines_agree_in_the_limit():
    def difference(n):
        grid = Grid((n, n))
        x, y = grid.nodes()
        u = (x * (1 - x) * y * (1 - y) * (x + y).exp())[None, None]
        sine = Sobolev(1, grid, series="sine")
        u[..., grid.outermost()] = 0
        assert torch.allclose(sine(u), Sobolev(1, grid.interior)(u[..., 1:-1, 1:-1]), rtol=1e-13)
        return abs((Sobolev(1, grid)(u) / sine(u)).item() - 1)

    coarse, fine = difference(33), difference(65)
    assert fine < 0.02
    assert math.log2(coarse / fine) == pytest.approx(1, abs=0.1)


def test_a_constant_shift_has_no_seminorm(generator):
    grid = Grid((9, 8), boundary=("neumann", "periodic"))
    u = torch.randn(2, 1, 9, 8, generator=generator, dtype=torch.float64)
    seminorm = Sobolev(1, grid, alpha=0)
    assert torch.allclose(seminorm(u + 3), seminorm(u), rtol=1e-12)
    assert seminorm(torch.ones(1, 1, 9, 8, dtype=torch.float64)).item() < 1e-13


@pytest.mark.parametrize("order", [-2, -1, -0.5])
def test_alpha_0_with_a_negative_order_asks_for_zero_mean(generator, order):
    grid = Grid((9, 8), boundary=("neumann", "periodic"))
    norm = Sobolev(order, grid, alpha=0)
    u = torch.randn(3, 2, 9, 8, generator=generator, dtype=torch.float64)
    w = grid.quadrature()
    centred = u - (w * u).sum((-2, -1), keepdim=True) / w.sum()
    assert norm(centred).isfinite().all()
    assert norm((centred + 1e-12).float()).isfinite().all()
    centred[1, 1] += 1e-3  # one channel of one sample
    with pytest.raises(ValueError, match=r"zero mean; got a mean of 0\.001.*α > 0"):
        norm(centred)
    inside = Grid((9, 8), placement="interior")  # sines have no constant
    assert Sobolev(order, inside, alpha=0)(u).isfinite().all()


def test_h_minus_one_is_the_dual_norm(generator):
    """‖f‖_{-1} = sup ∫fv / ‖v‖_1, attained where v solves -Δv + v = f."""
    grid = Grid((12, 11), (1.0, 2.0), ("periodic", "neumann"))
    f = torch.randn(1, 1, 12, 11, generator=generator, dtype=torch.float64)
    dual, h1, w = Sobolev(-1, grid), Sobolev(1, grid), grid.quadrature()

    def quotient(v):
        return ((w * f * v).sum() / h1(v)).item()

    best = apply_multiplier(f, sobolev_multiplier(grid, -2), grid)
    assert quotient(best) == pytest.approx(dual(f).item(), rel=1e-12)
    for _ in range(20):
        v = best + 0.1 * torch.randn(f.shape, generator=generator, dtype=torch.float64)
        assert quotient(v) < dual(f).item()


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, math.inf])
def test_lp_pools_channels(generator, p):
    grid = Grid((5, 6), (2.0, 3.0))
    u = torch.randn(4, 3, 5, 6, generator=generator, dtype=torch.float64)
    if p == math.inf:
        expected = u.abs().amax((1, 2, 3))
    else:
        expected = (grid.quadrature() * u.abs() ** p).sum((1, 2, 3)) ** (1 / p)
    assert torch.allclose(Lp(p, domain=grid)(u), expected, rtol=1e-13)


@pytest.mark.parametrize("p", [0, 0.5, -1, math.nan])
def test_lp_below_1_is_refused(p):
    with pytest.raises(ValueError, match="p >= 1"):
        Lp(p, domain=Grid((4,)))


NORMS = [
    Lp(2, domain=Grid((5, 6))),
    Lp(1, domain=Grid((5, 6))),
    Lp(math.inf, domain=Grid((5, 6))),
    Sobolev(1, Grid((5, 6))),
    Sobolev(-1, Grid((5, 6), placement="interior")),
    Sobolev(0.5, Grid((5, 6), boundary=("periodic", "neumann"))),
    Sobolev(2, Grid((5, 6), boundary="periodic")),
]


@pytest.mark.parametrize("norm", NORMS)
def test_norms_are_norms(generator, norm):
    u, v = torch.randn(2, 3, 2, 5, 6, generator=generator, dtype=torch.float64)
    assert torch.allclose(norm(-2.5 * u), 2.5 * norm(u), rtol=1e-13)
    assert (norm(u + v) <= norm(u) + norm(v)).all()
    assert (norm(u) > 0).all()
    assert (norm(0 * u) == 0).all()
    assert norm(u).shape == (3,)


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_right_and_finite_at_zero(generator, norm):
    u = torch.randn(2, 1, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, u)
    for dtype in (torch.float32, torch.float64):
        zero = torch.zeros(2, 1, 5, 6, dtype=dtype, requires_grad=True)
        norm(zero).sum().backward()
        assert zero.grad.isfinite().all()


@pytest.mark.parametrize("norm", NORMS)
def test_each_sample_by_itself_and_in_any_float(generator, norm):
    u = torch.randn(7, 2, 5, 6, generator=generator, dtype=torch.float64)
    one_by_one = torch.cat([norm(v[None]) for v in u])
    assert torch.allclose(norm(u), one_by_one, rtol=1e-14)
    for dtype, rtol in [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)]:
        value = norm(u.to(dtype))
        assert value.dtype == torch.float32
        assert torch.allclose(value.double(), norm(u), rtol=rtol)


def test_a_field_of_another_grid_is_refused():
    norm = Sobolev(1, Grid((5, 6)))
    with pytest.raises(ValueError, match=r"argument of Sobolev.*5, 6.*got \(1, 1, 6, 5\)"):
        norm(torch.zeros(1, 1, 6, 5))
    with pytest.raises(ValueError, match=r"batch or channel axis"):
        norm(torch.zeros(3, 5, 6))


def test_relative_h1_of_a_scaled_field_is_the_scale(generator):
    for order in ORDERS:
        grid = Grid((8, 9), boundary=("periodic", "dirichlet"))
        u = torch.randn(3, 2, 8, 9, generator=generator, dtype=torch.float64)
        loss = Relative(Sobolev(order, grid))
        assert loss(1.1 * u, u).item() == pytest.approx(0.1, rel=1e-12)
