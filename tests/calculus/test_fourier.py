"""Every wave that fits is represented, differentiated and resampled exactly, in every series."""

import itertools
import math

import pytest
import torch

from pdeops.calculus import fourier
from pdeops.domain import Grid, Series

# boundary, placement, series: every series on every placement that determines it
AXES = [
    ("periodic", "left", "fourier"),
    ("periodic", "centers", "fourier"),
    ("dirichlet", "endpoints", "cosine"),
    ("neumann", "centers", "cosine"),
    ("dirichlet", "endpoints", "sine"),
    ("dirichlet", "interior", "sine"),
    ("dirichlet", "centers", "sine"),
]
PAIRS = list(itertools.product(AXES, AXES))


def grid_of(axes, shape, extent):
    boundary, placement, series = zip(*axes, strict=True)
    return Grid(shape, extent, boundary, placement), series


def random_field(generator, grid, series, *batch):
    """Random values, zero at the stored ends of sine axes."""
    u = torch.randn(*batch, *grid.shape, generator=generator, dtype=torch.float64)
    for axis, s in enumerate(series):
        if s == "sine" and grid.placement[axis] == "endpoints":
            u.select(axis - grid.ndim, 0).zero_()
            u.select(axis - grid.ndim, -1).zero_()
    return u


def real_waves(grid, axis, series):
    """All real waves that an axis determines, as (index k, function of x)."""
    n, L = grid.shape[axis], grid.extent[axis]
    if series == "fourier":
        waves = [(k, lambda x, k=k: torch.cos(2 * math.pi * k * x / L)) for k in range(n // 2 + 1)]
        waves += [
            (k, lambda x, k=k: torch.sin(2 * math.pi * k * x / L)) for k in range(1, n // 2 + 1)
        ]
        # On an even axis one of the two Nyquist waves is zero at every node.
        return [(k, f) for k, f in waves if f(grid.axis(axis)).abs().max() > 1e-12]
    lowest = 1 if series == "sine" else 0
    f = {"sine": torch.sin, "cosine": torch.cos}[series]
    return [
        (k, lambda x, k=k: f(math.pi * k * x / L))
        for k in range(lowest, lowest + grid.num_waves(axis, Series(series)))
    ]


@pytest.mark.parametrize("axes", PAIRS)
def test_inverse_transform_undoes_transform_and_parseval_holds(generator, axes):
    for shape in [(7, 8), (6, 5), (3, 4)]:
        grid, series = grid_of(axes, shape, (1.3, 0.7))
        u = random_field(generator, grid, series, 2, 3)
        u_hat = fourier.transform(u, grid, series)
        assert u_hat.is_complex() == ("fourier" in series)
        assert (fourier.inverse_transform(u_hat, grid, series) - u).abs().max() < 1e-13
        in_waves = (fourier.parseval_weights(grid, series) * u_hat.abs().square()).sum((-2, -1))
        at_nodes = (grid.quadrature() * u.square()).sum((-2, -1))
        assert torch.allclose(in_waves, at_nodes, rtol=1e-13, atol=0)


@pytest.mark.parametrize("n", [5, 6])
@pytest.mark.parametrize("axis", AXES)
def test_coefficients_are_those_of_the_continuous_series(axis, n):
    """Dense reference: the field synthesised term by term at the nodes."""
    grid, series = grid_of([axis], (n,), (2.5,))
    xi, x = fourier.wavenumbers(grid, series)[0], grid.axis(0)
    for j in range(len(xi)):
        if series == ("fourier",):  # (1 + 2i) exp(iξx) and its conjugate
            u = torch.cos(xi[j] * x) - 2 * torch.sin(xi[j] * x)
            if j > 0 and 2 * j != n:
                u = 2 * u
            expected = torch.complex(torch.ones(()), torch.tensor(2.0)).to(torch.complex128)
            if 2 * j == n:  # only one of the two waves is seen at the nodes
                expected = expected.real + 0j if axis[1] == "left" else 1j * expected.imag
            elif j == 0:
                expected = expected.real + 0j
        else:
            u = (torch.sin if axis[2] == "sine" else torch.cos)(xi[j] * x)
            expected = torch.ones((), dtype=torch.float64)
        u_hat = fourier.transform(u, grid, series)
        unit = torch.zeros_like(u_hat)
        unit[j] = expected
        assert (u_hat - unit).abs().max() < 1e-14


def test_two_fourier_axes_have_the_layout_of_rfftn(generator):
    grid = Grid((6, 5), (2.0, 3.0), "periodic")
    u = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    expected = torch.fft.rfftn(u, dim=(-2, -1), norm="forward")
    assert torch.allclose(fourier.transform(u, grid), expected, rtol=0, atol=1e-15)
    xi, eta = fourier.wavenumbers(grid)
    assert torch.allclose(xi, math.pi * 6 * torch.fft.fftfreq(6, dtype=torch.float64))
    assert torch.allclose(eta, 2 * math.pi / 3 * torch.arange(3, dtype=torch.float64))


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("axis", AXES)
def test_derivatives_of_every_wave_are_exact(axis, n, order):
    grid, series = grid_of([axis], (n,), (1.7,))
    x = grid.axis(0).requires_grad_()
    for k, wave in real_waves(grid, 0, axis[2]):
        u = exact = wave(x)
        for _ in range(order):
            (exact,) = torch.autograd.grad(exact.sum(), x, create_graph=True)
            if not exact.requires_grad:  # the derivative of a constant
                exact = exact + 0 * x
        scale = (2 * math.pi * max(k, 1) / 1.7) ** order
        found = fourier.derivative(u.detach(), grid, 0, order, series)
        assert (found - exact).abs().max() < 2e-13 * scale, k


def test_the_first_derivative_of_the_nyquist_wave_is_zero_and_the_second_is_not():
    grid = Grid((8,), boundary="periodic")
    nyquist = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)
    assert fourier.derivative(nyquist, grid, 0).abs().max() == 0
    second = fourier.derivative(nyquist, grid, 0, 2)
    assert torch.allclose(second, -((8 * math.pi) ** 2) * nyquist, rtol=1e-14)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_derivative_acts_on_one_axis_of_many(generator, axis):
    grid = Grid((5, 6, 7), (1.0, 2.0, 3.0), ("periodic", "dirichlet", "neumann"))
    u = torch.randn(2, 2, 5, 6, 7, generator=generator, dtype=torch.float64)
    one = Grid(
        [grid.shape[axis]], [grid.extent[axis]], [grid.boundary[axis]], [grid.placement[axis]]
    )
    dim = (axis % 3) - 3
    expected = fourier.derivative(u.movedim(dim, -1), one, 0).movedim(-1, dim)
    assert torch.allclose(fourier.derivative(u, grid, axis), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("axis", "order"), [(2, 1), (-3, 1), (0, -1)])
def test_derivative_refuses_an_axis_or_order_that_is_none(axis, order):
    with pytest.raises(ValueError, match="2-dimensional grid"):
        fourier.derivative(torch.zeros(5, 5), Grid((5, 5)), axis, order)


def test_derivative_of_a_smooth_periodic_function_converges_spectrally():
    def error(n):
        grid = Grid((n,), boundary="periodic")
        x = 2 * math.pi * grid.axis(0)
        exact = 2 * math.pi * torch.cos(x) * torch.sin(x).exp()
        return (fourier.derivative(torch.sin(x).exp(), grid, 0) - exact).abs().max().item()

    assert error(8) > 1e-2
    assert error(16) < 1e-5
    assert error(32) < 1e-12


@pytest.mark.parametrize("axes", PAIRS)
def test_laplacian_is_the_sum_of_second_derivatives_and_is_undone(generator, axes):
    grid, series = grid_of(axes, (6, 7), (1.3, 0.7))
    u = random_field(generator, grid, series, 3)
    if "sine" not in series:
        w = grid.quadrature()
        u = u - (w * u).sum((-2, -1), keepdim=True) / w.sum()
    laplacian = fourier.laplacian(u, grid, series)
    second = sum(fourier.derivative(u, grid, axis, 2, series) for axis in (0, 1))
    scale = laplacian.abs().max()
    assert (laplacian - second).abs().max() < 1e-13 * scale
    assert torch.allclose(fourier.inverse_laplacian(laplacian, grid, series), u, atol=1e-12)


def test_inverse_laplacian_refuses_a_mean_without_sines(generator):
    f = 1 + torch.randn(2, 8, 8, generator=generator, dtype=torch.float64)
    with pytest.raises(ValueError, match="zero mean"):
        fourier.inverse_laplacian(f, Grid((8, 8), boundary="periodic"))
    with pytest.raises(ValueError, match="zero mean"):
        fourier.inverse_laplacian(f, Grid((8, 8), boundary="neumann"))
    solved = fourier.inverse_laplacian(f, Grid((8, 8), placement="interior"))
    assert torch.allclose(fourier.laplacian(solved, Grid((8, 8), placement="interior")), f)


def test_sobolev_multiplier_is_the_symbol():
    grid = Grid((9, 8), (2.0, 0.5), ("dirichlet", "periodic"))
    multiplier = fourier.sobolev_multiplier(grid, -0.7, 3.0)
    xi, eta = 3 * math.pi / 2, 2 * math.pi * 4 / 0.5
    assert multiplier[3, 4].item() == pytest.approx((3 + xi**2 + eta**2) ** -0.35, rel=1e-14)
    assert multiplier.shape == (9, 5)
    assert fourier.sobolev_multiplier(grid, -2, 0.0)[0, 0] == 0
    assert fourier.sobolev_multiplier(grid, 0, 0.0)[0, 0] == 1
    with pytest.raises(ValueError, match="α >= 0"):
        fourier.sobolev_multiplier(grid, 1, -1.0)


def dealias(u, grid, series=None):
    """u with the waves removed that the mask excludes."""
    return fourier.apply_multiplier(u, fourier.dealias_mask(grid, series), grid, series)


@pytest.mark.parametrize("axis", [a for a in AXES if a[1] != "interior"])
def test_dealiased_products_are_exact_where_they_are_kept(generator, axis):
    """The 2/3 rule's promise: no aliased wave among those that are kept, and none kept less."""
    for n in range(5, 13):
        grid, own = grid_of([axis], (n,), (1.0,))
        fine = grid.with_shape((8 * n + 1,))
        # A sine times a cosine is a sum of sines; the product of two of one kind is not always.
        other = ["cosine"] if axis[2] == "sine" else own
        u, v = (dealias(random_field(generator, grid, s), grid, s) for s in (own, other))
        product = fourier.resample(u, grid, fine.shape, own)
        product = product * fourier.resample(v, grid, fine.shape, other)
        exact = fourier.transform(product, fine, own)
        found = fourier.transform(u * v, grid, own)
        mask = fourier.dealias_mask(grid, own)
        wrong = (found - exact[: len(mask)]).abs() > 1e-13
        assert not wrong[mask].any()
        assert mask.sum() >= n // 3


def test_without_dealiasing_a_product_is_wrong(generator):
    grid = Grid((12,), boundary="periodic")
    u = torch.randn(12, generator=generator, dtype=torch.float64)
    fine = fourier.resample(u, grid, (48,))
    exact = fourier.transform(fine * fine, grid.with_shape((48,)))[:7]
    assert (fourier.transform(u * u, grid) - exact).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(6, 6), (9, 12), (7, 8)])
def test_dealiasing_keeps_k_and_minus_k_together(generator, shape):
    grid = Grid(shape, boundary="periodic")
    mask = fourier.dealias_mask(grid)
    k = torch.fft.fftfreq(shape[0], 1 / shape[0]).round()
    for i, j in itertools.product(range(shape[0]), repeat=2):
        if k[i] == -k[j]:
            assert torch.equal(mask[i], mask[j])
    u = torch.randn(*shape, generator=generator, dtype=torch.float64)
    reflected = u.roll((-1, -1), (0, 1)).flip(0, 1)
    expected = dealias(u, grid).roll((-1, -1), (0, 1)).flip(0, 1)
    assert torch.allclose(dealias(reflected, grid), expected, atol=1e-14)


@pytest.mark.parametrize("axis", AXES)
def test_resampling_is_exact_for_waves_that_fit_both_grids(axis):
    for n, new in itertools.permutations([4, 5, 6, 7, 12], 2):
        grid, series = grid_of([axis], (n,), (1.9,))
        target = grid.with_shape((new,))
        coarse = grid if n < new else target
        for k, wave in real_waves(coarse, 0, axis[2]):
            found = fourier.resample(wave(grid.axis(0)), grid, (new,), series)
            assert (found - wave(target.axis(0))).abs().max() < 1e-13, (n, new, k)


@pytest.mark.parametrize("axes", PAIRS)
def test_resampling_up_and_down_again_is_the_identity(generator, axes):
    grid, series = grid_of(axes, (6, 7), (1.3, 0.7))
    u = random_field(generator, grid, series, 2, 1)
    up = fourier.resample(u, grid, (11, 12), series)
    down = fourier.resample(up, grid.with_shape((11, 12)), grid.shape, series)
    assert (down - u).abs().max() < 1e-13


def test_resampling_a_nested_grid_keeps_the_nodes_values(generator):
    for boundary in ("periodic", "dirichlet"):
        grid = Grid((9, 8), boundary=boundary)
        u = torch.randn(9, 8, generator=generator, dtype=torch.float64)
        fine = fourier.resample(u, grid, grid.refined(2).shape)
        assert (fine[::2, ::2] - u).abs().max() < 1e-13


def test_resampling_down_removes_what_does_not_fit():
    grid = Grid((32,), boundary="periodic")
    x = 2 * math.pi * grid.axis(0)
    low, high = torch.cos(3 * x), torch.cos(13 * x)
    found = fourier.resample(low + high, grid, (16,))
    assert (found - low[::2]).abs().max() < 1e-14  # point values would alias 13 to 3


def test_sines_of_values_that_are_not_zero_at_the_ends_are_refused():
    grid = Grid((9, 9))
    u = torch.ones(9, 9, dtype=torch.float64)
    for axis in (0, 1):
        series = ["cosine", "cosine"]
        series[axis] = "sine"
        with pytest.raises(ValueError, match=f"sine series.*axis {axis}.*cosine"):
            fourier.transform(u, grid, series)
    u = torch.sin(math.pi * grid.axis(0)).outer(torch.sin(math.pi * grid.axis(1)))
    fourier.transform(u, grid, "sine")  # sin(π) is not quite zero in floating point


def test_shapes_are_checked():
    grid = Grid((4, 5), boundary="periodic")
    with pytest.raises(ValueError, match=r"4, 5.*got \(5, 4\)"):
        fourier.transform(torch.zeros(5, 4), grid)
    with pytest.raises(ValueError, match=r"4, 3.*got \(4, 5\)"):
        fourier.inverse_transform(torch.zeros(4, 5, dtype=torch.complex64), grid)


FUNCTIONS = [
    lambda u, grid, s: fourier.transform(u, grid, s).abs().square(),
    lambda u, grid, s: fourier.derivative(u, grid, 1, 1, s),
    lambda u, grid, s: fourier.laplacian(u, grid, s),
    lambda u, grid, s: dealias(u, grid, s),
    lambda u, grid, s: fourier.resample(u, grid, (7, 3), s),
    lambda u, grid, s: fourier.resample(u, grid, (4, 6), s),
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [a for a in AXES if a[1:] != ("endpoints", "sine")])
def test_gradients(generator, axis, function):
    grid, series = grid_of([axis, axis], (5, 4), (1.3, 0.7))
    u = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: function(v, grid, series), u, fast_mode=True)


@pytest.mark.parametrize("axes", PAIRS[::5])
def test_float32_agrees_with_float64(generator, axes):
    grid, series = grid_of(axes, (33, 32), (1.3, 0.7))
    u = random_field(generator, grid, series, 2)
    for f in (fourier.transform, fourier.laplacian, fourier.derivative):
        more = (0,) if f is fourier.derivative else ()
        single = f(u.float(), grid, *more, series=series)
        double = f(u, grid, *more, series=series)
        assert single.dtype in (torch.float32, torch.complex64)
        assert (single - double).abs().max() < 3e-6 * double.abs().max()


def test_three_dimensions_and_any_batch(generator):
    grid = Grid((4, 5, 6), (1.0, 2.0, 0.5), ("periodic", "neumann", "periodic"))
    u = torch.randn(2, 1, 3, 4, 5, 6, generator=generator, dtype=torch.float64)
    one_by_one = torch.stack([fourier.laplacian(v, grid) for v in u.flatten(0, 2)])
    assert torch.allclose(fourier.laplacian(u, grid).flatten(0, 2), one_by_one, atol=1e-11)
