"""PINN: exact initial field and periods, the residual of its own function, windows, bad input."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.models import PINN
from pdeops.solvers import Burgers, Transport
from pdeops.solvers.evolution.initial import Gaussian, Sine, TaylorGreen

TAU = 2 * math.pi


class Everything(Transport):
    """Two directions, velocity, diffusivity and source that vary."""

    def velocity(self, u, x, t):
        return torch.cat([u + x[:, :1].sin(), x[:, 1:].cos() * t], 1)

    def diffusivity(self, u, x, t):
        return 0.1 + u**2

    def source(self, u, x, t):
        return t - u**3


@pytest.fixture(scope="module", params=["tanh", "sine"])
def field(request):
    torch.manual_seed(0)
    grid = Grid((8, 8), (TAU, 3.0), "periodic")
    u0 = Sine(grid, 0.3, waves=[1, -2])
    equation = Everything(grid)
    options = {"hidden_channels": 8, "num_layers": 2, "fourier_features": 3}
    if request.param == "sine":
        options |= {"activation": "sine", "frequency": 1.0, "winner": 0.1}
    return PINN(equation, u0, 1.5, windows=[0.2, 0.5, 1.5], **options).double()


def points(n=6, low=0.0, high=1.5):
    generator = torch.Generator().manual_seed(1)
    x = 3 * torch.rand(2, n, dtype=torch.float64, generator=generator)
    return x, low + (high - low) * torch.rand(n, dtype=torch.float64, generator=generator)


def test_initial_field_periods_and_continuity_are_exact(field):
    x, t = points()
    u0 = field.u0(x[None])[0]
    torch.testing.assert_close(field(x, 0 * t), u0, rtol=0, atol=1e-15)
    u = field(x, t)
    assert (u - u0).abs().max() > 1e-2
    for axis, L in enumerate(field.equation.grid.extent):
        shift = torch.zeros(2, 1, dtype=torch.float64)
        shift[axis] = L
        torch.testing.assert_close(field(x + shift, t), u, rtol=0, atol=1e-13)
    for end in (0.2, 0.5):
        before, after = (field(x, torch.full_like(t, s)) for s in (end - 1e-12, end))
        torch.testing.assert_close(before, after, rtol=0, atol=1e-10)


def test_random_frequencies_are_those_of_a_window(field):
    """ωτ at x = 0, at the end of the second window."""
    zero = torch.zeros(2, 1, dtype=torch.float64)
    embedding = field.embedding(zero, torch.tensor([0.5], dtype=torch.float64), 1)
    torch.testing.assert_close(embedding.value[:5, 0], field.frequencies.cos())
    assert (field.frequencies[2:] != 0).all()


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.15), (0.25, 0.45), (0.55, 1.45)])
def test_residual_is_that_of_the_function(field, low, high):
    """The jets against central differences of `forward`, in each window."""
    x, t = points(low=low, high=high)
    h = 1e-3

    def along(f):  # of order four
        near, far = f(h) - f(-h), f(2 * h) - f(-2 * h)
        return (8 * near - far) / (12 * h)

    u = field(x, t)
    u_t = along(lambda s: field(x, t + s))
    gradient, laplacian = [], 0
    for axis in range(2):
        d = torch.zeros(2, 1, dtype=torch.float64)
        d[axis] = 1.0
        gradient.append(along(lambda s, d=d: field(x + s * d, t)))
        near, far = (field(x + s * d, t) + field(x - s * d, t) for s in (h, 2 * h))
        laplacian = laplacian + (16 * near - far - 30 * u) / (12 * h**2)
    at = (u_t, u, torch.stack(gradient, 1), laplacian, x, t[None])
    expected = field.equation.residual(*(v[None] for v in at))[0]
    torch.testing.assert_close(
        field.residual(field.collocate(x, t)), expected, rtol=2e-7, atol=1e-8
    )


def test_a_window_trains_its_own_network_only(field):
    x, t = points(low=0.6, high=1.4)
    field.zero_grad()
    field.residual(field.collocate(x, t)).square().sum().backward()
    first, second, third = field.networks
    assert all(p.grad is None for p in (*first.parameters(), *second.parameters()))
    assert all(p.grad is not None for p in third.parameters())


def test_gaussian_sums_its_images():
    grid = Grid((8,), 1.0, "periodic")
    u0 = Gaussian(grid, 0.2, mean=0.5, amplitude=2.0, centre=[0.9])
    x = torch.linspace(0, 1, 11, dtype=torch.float64)[None, None]
    expected = 0.5 + 2 * sum(torch.exp(-(((x - 0.9 - i) / 0.2) ** 2) / 2) for i in range(-9, 10))
    torch.testing.assert_close(u0(x), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda grid: TaylorGreen(grid, wave=1.5),
            r"wave needs whole .*got 1\.5\. For another",
        ),
        (lambda grid: Sine(grid, waves=[1, 0.5]), r"waves needs whole .*got 1, 0\.5"),
    ],
)
def test_initial_fields_have_whole_periods(make, message):
    with pytest.raises(ValueError, match=message):
        make(Grid((8, 8), TAU, "periodic"))


CIRCLE = Grid((16,), TAU, "periodic")
BURGERS = Burgers(CIRCLE, 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u0": lambda x: x}, "u0 must be periodic.*Choose the box as a period"),
        ({"u0": lambda x: torch.log(x)}, r"u0 is not finite at x = \[0.0\]"),
        ({"u0": lambda x: (6.28 - x).sqrt()}, "differ by nan"),
        ({"u0": lambda x: torch.cat([x, x], 1)}, r"u0 must map points \(1, 1, 64\)"),
        ({"t_end": -1.0}, "t_end must be positive"),
        ({"windows": [0.5, 0.9]}, r"windows must cover \[0, 1\].*got \[0.5, 0.9\]"),
        ({"windows": [0.5, 0.5, 1.0]}, "windows must cover"),
        ({"windows": 0}, "windows must be 1 or more"),
        ({"num_waves": 0}, "num_waves must be 1 or more; got 0"),
        (
            {"equation": Transport(CIRCLE, source=lambda u, x, t: u.sqrt())},
            r"The source of Transport must be a finite number; got nan at x = \[.*u = \[-",
        ),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"equation": BURGERS, "u0": Sine(CIRCLE), "t_end": 1.0, **change}
    with pytest.raises(ValueError, match=message):
        PINN(**arguments)


@pytest.mark.parametrize("end", [0.7, 1.1])  # rounded to float32, below and above
def test_single_precision_at_the_ends_of_windows(end):
    torch.manual_seed(0)
    options = {"hidden_channels": 4, "num_layers": 1, "windows": [0.7, 1.1]}
    field = PINN(BURGERS, Sine(CIRCLE), 1.1, **options).double()
    x = CIRCLE.nodes()
    expected = field(x, torch.full_like(x[0], end))
    u = field.float()(x.float(), torch.full_like(x[0], end).float())
    torch.testing.assert_close(u.double(), expected, rtol=0, atol=1e-5)


def test_times_outside_are_refused(field):
    x, t = points()
    with pytest.raises(ValueError, match=r"known for 0 <= t <= 1.5; got t = 2"):
        field(x, 2 + 0 * t)
