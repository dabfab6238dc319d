"""ST-FNO: one function of continuous time and space, whatever frames and grids it is given."""

import math

import numpy as np
import pytest
import torch

from pdeops.calculus.helmholtz import divergence
from pdeops.domain import Grid
from pdeops.models import SpatiotemporalFNO
from pdeops.nn import chebyshev

TIMES = {
    "times_in": [-0.4, -0.3, -0.2, -0.1, 0.0],
    "times_out": [0.05 * k for k in range(1, 13)],
}
SMALL = {
    "hidden_channels": 5,
    "n_layers": 3,
    "mlp_channels": 7,
    "output_time_modes": 9,
    "time_modes": 6,
}
BOXES = {
    1: (Grid((32,), 2.0, "periodic"), (12,)),
    2: (Grid((16, 15), (1.0, 6.3), "periodic"), (8, 6)),
    3: (Grid((8, 9, 10), 1.0, "periodic"), (4, 6, 4)),
}
every_dimension = pytest.mark.parametrize("ndim", [1, 2, 3])


def build(ndim, channels=(1, 1), seed=0, grid=None, **arguments):
    box, n_modes = BOXES[ndim]
    torch.manual_seed(seed)
    arguments = {"n_modes": n_modes, **TIMES, **SMALL, **arguments}
    return SpatiotemporalFNO(*channels, grid or box, **arguments).double()


def frames(model, generator, num=5, batch=2):
    shape = (batch, num, model.in_channels, *model.grid.shape)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def wave(grid, times):
    """Moving band-limited waves, (1, t, 1, *space)."""
    phase = [2 * math.pi * x / L for x, L in zip(grid.nodes(), grid.extent, strict=True)]
    u = [sum(torch.cos(p + (a + 1) * t) for a, p in enumerate(phase)) for t in times]
    return torch.stack(u)[None, :, None]


@every_dimension
def test_frames_are_values_of_one_function_of_time(ndim, generator):
    """M1: instants that two calls share agree, whatever the number of frames and the horizon."""
    model = build(ndim)
    x = frames(model, generator)
    y = model(x)
    dense = [0.6 * k / 48 for k in range(1, 49)]
    torch.testing.assert_close(model(x, times_out=dense)[:, 3::4], y, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(model(x, times_out=TIMES["times_out"][:5]), y[:, :5])
    near = model(x, times_out=[1e-9])[:, 0]
    torch.testing.assert_close(near, x[:, -1], rtol=0, atol=1e-7)  # w(t) -> w(0)


@pytest.mark.parametrize("n_out", [10, 20, 40])
def test_discrete_transforms_over_frames_depend_on_their_number(n_out, generator):
    """Negative control of M1, the published output transform: unnormalised transforms of different
    lengths. The change at the same instant, the end of the window, shrinks with n_out (D12)."""
    n_lat = 10
    latent = torch.randn(n_lat + 1, generator=generator, dtype=torch.float64)

    def published(n_out):
        padded = torch.cat([torch.zeros_like(latent), latent])
        low = torch.fft.rfft(padded)[:5]
        return torch.fft.irfft(low, n=n_out + 1 + n_lat + 1)[-n_out:]

    size = published(n_out).square().mean().sqrt() / published(10).square().mean().sqrt()
    predicted = (2 * n_lat + 2) / (n_lat + n_out + 2)
    assert size.item() == pytest.approx(predicted, rel=0.35)
    assert (abs(published(n_out)[-1] / published(10)[-1] - 1) > 0.2) == (n_out != 10)


def test_input_frames_are_samples_of_one_function_of_time():
    """A cubic in time read from other instants, and from more frames, is the same input."""
    model = build(2, input_time_modes=4)
    fixed = torch.randn(1, 4, 1, 16, 15, generator=torch.Generator().manual_seed(1)).double()

    def at(times):
        powers = torch.tensor(np.vander(times, 4, increasing=True))
        return torch.einsum("tp,bpcxy->btcxy", powers, fixed)

    y = model(at(TIMES["times_in"]))
    for times in (
        [-0.4, -0.25, -0.1, 0.0],
        list(np.linspace(-0.4, 0, 17)),
        [-0.9, *TIMES["times_in"]],
    ):
        again = model(at(times), times_in=times)
        torch.testing.assert_close(again, y, rtol=1e-9, atol=1e-10)
    assert not torch.allclose(model(at(TIMES["times_in"]) + fixed[:, 1:2]), y, rtol=0.01)


@every_dimension
def test_commutes_with_shifts(ndim, generator):
    """M2: by any number of nodes, on the training grid, whatever the weights are."""
    model = changed(build(ndim, spatial_bias=False), generator)
    x = frames(model, generator)
    by = {"shifts": (3, -1, 2)[:ndim], "dims": tuple(range(-ndim, 0))}
    torch.testing.assert_close(model(x.roll(**by)), model(x).roll(**by), rtol=1e-10, atol=1e-11)


def changed(model, generator):
    """The model with every parameter moved, as by training: some are zero at first."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model


def test_a_bias_per_mode_is_a_field_fixed_in_space(generator):
    """Negative control of M2, and what it is for: the response to a force."""
    model = changed(build(2), generator)
    x = frames(model, generator)
    y = model(x)
    assert (model(x.roll(3, -1)) - y.roll(3, -1)).norm() > 1e-3 * (y - x[:, -1:]).norm()
    with torch.no_grad():
        model.last_layer.bias.zero_()
    fixed = y - model(x)
    torch.testing.assert_close(fixed[0], fixed[1], rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(model(x.roll(3, -1)), model(x).roll(3, -1), rtol=1e-10, atol=1e-11)


def test_encodings_with_both_ends_do_not_commute_with_shifts(generator):
    """Negative control of M2: the published encodings, linspace(0, 1, n) along x and y (D15)."""
    model = build(2, channels=(3, 1))
    x = frames(model, generator)
    ramps = torch.meshgrid(*(torch.linspace(0, 1, n).double() for n in (16, 15)), indexing="ij")

    def encoded(u):
        return torch.cat([u, torch.stack(ramps).expand(2, 5, 2, 16, 15)], 2)

    u = x[:, :, :1]
    rolled = model(encoded(u.roll(3, -1))) - u[:, -1:].roll(3, -1)
    expected = (model(encoded(u)) - u[:, -1:]).roll(3, -1)
    assert (rolled - expected).norm() > 1e-3 * expected.norm()


@every_dimension
def test_is_one_operator_on_all_grids(ndim):
    """M3: a band-limited input on finer grids gives the same values at the common nodes."""
    model = build(ndim)
    y = model(wave(model.grid, TIMES["times_in"]))
    for factor in (2, 4):
        finer = model.grid.refined(factor)
        z = model(wave(finer, TIMES["times_in"]))
        common = (..., *[slice(None, None, factor)] * ndim)
        torch.testing.assert_close(z[common], y, rtol=1e-10, atol=1e-11)
    # Negative control: the nodes of another box.
    other = model.grid.with_shape([n + 1 for n in model.grid.shape])
    assert model(wave(other, TIMES["times_in"])).shape[3:] == other.shape


def test_any_horizon_is_reached_window_by_window(generator):
    """Instants beyond the window are predicted from predicted frames, at any spacing."""
    model = build(1)
    x = frames(model, generator)
    y = model(x)
    next_input = torch.cat([y[:, [3, 5, 7, 9]], y[:, -1:]], 1)  # t = 0.2, .., 0.5 and 0.6
    expected = model(next_input)
    late = [0.1, 0.6 + 0.05, 0.6 + 0.3, 1.2, 1.25]
    z = model(x, times_out=late)
    torch.testing.assert_close(z[:, 0], y[:, 1], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(z[:, 1:4], expected[:, [0, 5, 11]], rtol=1e-7, atol=1e-8)
    # One step per window: the input frames of the next window are partly given ones.
    step = build(1, times_out=[0.1], time_modes=1, output_time_modes=1)
    a = step(x)
    b = step(torch.cat([x[:, 1:], a], 1))
    torch.testing.assert_close(
        step(x, times_out=[0.1, 0.2]), torch.cat([a, b], 1), rtol=1e-9, atol=1e-9
    )


def test_coefficients_that_do_not_change_are_kept_over_windows(generator):
    model = build(1, channels=(2, 1))
    x = frames(model, generator)
    y = model(x)
    state = torch.cat([y[:, [3, 5, 7, 9]], y[:, -1:]], 1)
    expected = model(torch.cat([state, x[:, -1:, 1:].expand_as(state)], 2))
    z = model(x, times_out=[0.6 + t for t in TIMES["times_out"]])
    torch.testing.assert_close(z, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("ndim", [2, 3])
def test_vector_fields_have_no_divergence(ndim, generator):
    """M5: for any input, on its own grid; the projection matters."""
    model = build(ndim, channels=(ndim, ndim), divergence_free=True)
    finer = model.grid.with_shape([n + 3 for n in model.grid.shape])
    for grid in (model.grid, finer):
        x = torch.randn(2, 5, ndim, *grid.shape, generator=generator, dtype=torch.float64)
        y = model(x)
        scale = divergence(x, grid).abs().max()
        assert divergence(y, grid).abs().max() < 1e-12 * scale
        model.divergence_free = False
        assert divergence(model(x), grid).abs().max() > 1e-3 * scale
        model.divergence_free = True


def test_the_linear_part_holds_every_linear_evolution():
    """Advection and diffusion for one window: w(t) - w(0) is linear in the modes of the input, so a
    map of one matrix per mode from polynomials to polynomials represents it, to the accuracy of the
    polynomials. This is why time modes are polynomials: a Fourier series over frames wraps."""
    speed, nu, k, T = 0.4, 0.01, 2 * math.pi * 3, 0.6
    t = np.linspace(1e-3, T, 200)
    change = np.exp((-1j * speed * k - nu * k**2) * t) - 1
    errors = []
    for m in (4, 6, 8, 12):
        growing = t[:, None] / T * chebyshev.values(t, (0.0, T), m)
        fitted = growing @ np.linalg.lstsq(growing, change, rcond=None)[0]
        errors.append(abs(fitted - change).max())
    assert errors[0] < 0.2
    assert errors[-1] < 1e-8
    waves = np.exp(2j * np.pi * np.outer(t, np.arange(-6, 6)) / T)  # 12 periodic functions
    fitted = waves @ np.linalg.lstsq(waves, change, rcond=None)[0]
    assert abs(fitted - change).max() > 1e-2


def test_features_of_many_layers_depend_on_the_input(generator):
    """Initial weights keep the variance. torch's keep less than a tenth of it in each layer, so
    that the features of different inputs become equal."""
    model = build(2, n_layers=6, hidden_channels=16, mlp_channels=16)
    x = frames(model, generator)

    def dependent():
        a, b = model.features(x)
        return ((a - b).norm() / a.norm()).item()

    assert dependent() > 0.5
    for layer in (*model.skips, *(part for M in model.mlps for part in (M[0], M[2]))):
        layer.reset_parameters()  # negative control: torch's own
    assert dependent() < 0.1


def test_at_first_the_last_layer_is_one_matrix_for_all_modes(generator):
    """The change is (t/T) W y(t), the same combination of the features at every node."""
    model = build(2, spatial_bias=False)
    x = frames(model, generator)
    (_, T), _, alpha = model.window
    nodes = torch.from_numpy(chebyshev.gauss_nodes((0.0, T), model.latent_steps, alpha))
    v = wave(model.grid, nodes)[:, :, 0, None] * torch.randn(5, 1, 1, generator=generator)
    W = model.last_layer.pointwise
    expected = torch.einsum("oc,btcxy->btoxy", W, v) * (nodes / T)[:, None, None, None]
    found = model.head(v, x[:1], None, nodes.tolist()) - x[:1, -1:]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    changed(model, generator)
    assert (model.head(v, x[:1], None, nodes.tolist()) - x[:1, -1:] - found).norm() > 0.1


def test_the_last_layer_is_affine_and_separate(generator):
    """forward is head after features, to the last bit, and head is affine in the parameters of the
    last layer and uses no others."""
    model = build(2)
    x = frames(model, generator)
    v = model.features(x)
    assert torch.equal(model.head(v, x), model(x))
    late = [0.07, 0.31]
    assert torch.equal(model.head(v, x, None, late), model(x, times_out=late))
    own = dict(model.last_layer.named_parameters())
    grads = torch.autograd.grad(
        model.head(v, x).square().sum(), list(model.parameters()), allow_unused=True
    )
    used = {n for (n, _), g in zip(model.named_parameters(), grads, strict=True) if g is not None}
    assert {n for n in used if n.startswith("last_layer")} == {f"last_layer.{n}" for n in own}
    detached = model.head(v.detach(), x)
    grads = torch.autograd.grad(detached.sum(), list(model.parameters()), allow_unused=True)
    used = {n for (n, _), g in zip(model.named_parameters(), grads, strict=True) if g is not None}
    assert used == {f"last_layer.{n}" for n in own}

    def at(scale):
        moved = {f"last_layer.{n}": scale * p.detach() for n, p in own.items()}
        return torch.func.functional_call(model, moved, (x,))

    torch.testing.assert_close(at(1.0) - at(0.0), at(3.0) - at(2.0), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(at(0.0), x[:, -1:].expand(-1, 12, -1, -1, -1))
    with pytest.raises(ValueError, match="one window"):
        model.features(x, None, [0.5, 0.7])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_modes": (18, 6)}, "exceed the"),
        ({"n_modes": (8,)}, "one even positive number per axis"),
        ({"n_modes": (7, 6)}, "one even positive number per axis"),
        (
            {"output_time_modes": 13},
            "output_time_modes is from 1 to the number of output frames, 12",
        ),
        ({"input_time_modes": 6}, "input_time_modes is from 1 to the number of input frames, 5"),
        ({"time_modes": 0}, "time_modes is from 1"),
        ({"latent_steps": 5}, "latent_steps, 5"),
        ({"time_modes": 10}, "time_modes is from 1 to the number of output_time_modes, 9"),
        ({"latent_shape": (6, 6)}, "exceed the"),
        ({"times_in": [-0.2, -0.1]}, "the last 0"),
        ({"times_in": [-0.1, -0.2, 0.0]}, "increasing"),
        ({"times_in": [-math.inf, -0.1, 0.0]}, "finite"),
        ({"times_out": [0.1, math.inf]}, "finite"),
        ({"times_out": [0.0, 0.1]}, "positive and increasing"),
        ({"grid": Grid((16, 15))}, "SpatiotemporalFNO needs a periodic box"),
        ({"channels": (1, 2)}, "predicts the change of the first channels"),
        ({"divergence_free": True}, "vector field of 2 components"),
        ({"times_in": [-1.0, -0.03, -0.02, -0.01, 0.0]}, "do not determine"),
    ],
)
def test_modes_and_frames_that_do_not_fit_are_refused(arguments, message):
    """M4."""
    with pytest.raises(ValueError, match=message):
        build(2, **arguments)


def test_inputs_that_do_not_fit_are_refused(generator):
    """M4, at inference."""
    model = build(2)
    x = frames(model, generator)
    with pytest.raises(ValueError, match="5 polynomials in time"):
        model(x[:, 1:])
    with pytest.raises(ValueError, match=r"-0.4 to 0.*earlier frames are not used.*got 3 of 5"):
        model(x, times_in=[-0.8, -0.6, -0.4, -0.2, 0.0])
    with pytest.raises(ValueError, match="finite"):
        model(x, times_out=[0.3, math.inf])
    with pytest.raises(ValueError, match="at most 10000 windows"):
        model(x, times_out=[0.3, 6001.0])
    with pytest.raises(ValueError, match="need as many times"):
        model(x, times_in=[-0.1, 0.0])
    with pytest.raises(ValueError, match="do not determine"):
        model(x, times_in=[-0.004, -0.003, -0.002, -0.001, 0.0])
    with pytest.raises(ValueError, match="takes trajectories of shape"):
        model(x[:, 0])


def test_fewer_nodes_for_the_features_are_nearly_the_same(generator):
    """latent_shape: the same parameters on another latent grid; the difference is aliasing."""
    x = wave(BOXES[2][0], TIMES["times_in"])
    fine, finer = (build(2, latent_shape=s)(x) for s in ((24, 24), (48, 48)))
    coarse = build(2, latent_shape=(10, 8))(x)
    change = (finer - x[:, -1:]).norm()
    assert (fine - finer).norm() < 1e-3 * change
    assert (fine - finer).norm() < (coarse - finer).norm() < 0.1 * change
