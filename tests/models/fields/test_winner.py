"""WINNER: the noise on the first two weight matrices of `NeuralFieldStepper` and `PINN`."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.models import PINN, NeuralFieldStepper
from pdeops.solvers.evolution.equations.heat import AdvectionDiffusion
from pdeops.solvers.evolution.equations.navier_stokes import NavierStokes
from pdeops.solvers.evolution.initial import Sine, TaylorGreen
from pdeops.tasks import load_recipe
from pdeops.tasks.equation import EquationTask

TAU = 2 * math.pi


def field(grid, u0, seed=0, **options):
    """200 sines in two layers."""
    torch.manual_seed(seed)
    equation = (
        AdvectionDiffusion(grid, [1.0]) if grid.ndim == 1 else NavierStokes(grid, viscosity=0.0)
    )
    sizes = {"hidden_channels": 200, "num_layers": 3, "num_steps": 2}
    return NeuralFieldStepper(equation, u0, 1.0, **sizes | options)


def pinn(grid, u0, seed=0, **options):
    """The same layers in each of two windows."""
    torch.manual_seed(seed)
    sizes = {"hidden_channels": 200, "num_layers": 3, "windows": 2, "activation": "sine"}
    return PINN(AdvectionDiffusion(grid, [1.0] * grid.ndim), u0, 1.0, **sizes | options)


def weights(model, network=0):
    return [layer.weight.detach() for layer in model.networks[network].layers]


def noise(grid, u0, **options):
    """The difference from the plain weights."""
    plain = weights(field(grid, u0, **{k: v for k, v in options.items() if k != "winner"}))
    return [a - b for a, b in zip(weights(field(grid, u0, **options)), plain, strict=True)]


def test_scale_zero_is_the_plain_initialisation():
    grid = Grid((16,), TAU, "periodic")
    plain, zero = field(grid, Sine(grid)).state_dict(), field(grid, Sine(grid), winner=0.0)
    assert all(torch.equal(v, plain[name]) for name, v in zero.state_dict().items())
    noisy = field(grid, Sine(grid), winner=1.0).state_dict()
    changed = {name for name, v in noisy.items() if not torch.equal(v, plain[name])}
    assert changed == {"networks.0.hidden.0.weight", "networks.0.hidden.1.weight"}


def test_the_deviations_are_those_of_the_formula():
    """sin 12πx on [0, 1], six periods: σ₀ = s κ/ξ = 6s, 3s for ξ = 2π, 4π; σ₁ = s √(2/n)(1 - e⁻²)
    at ω = 3."""
    grid = Grid((16,), 1.0, "periodic")
    first, second, *others = noise(
        grid, Sine(grid, waves=[6]), num_waves=2, frequency=3.0, winner=0.5
    )
    for column, expected in zip(first.T, (3.0, 1.5, 3.0, 1.5), strict=True):
        assert column.std().item() == pytest.approx(expected, rel=0.2)
    assert second.std().item() == pytest.approx(0.05 * (1 - math.exp(-2)), rel=0.02)
    assert abs(first.mean().item()) < 0.5
    assert all(v.abs().max() == 0 for v in others)


def test_the_deviations_are_those_of_each_axis():
    """Vortices with four waves in x on [0, 4π] and in y on [0, π]: κL/2π = (4, 4)."""
    grid = Grid((16, 16), (2 * TAU, TAU / 2), "periodic")
    first, _, _, _ = noise(grid, Sine(grid, waves=[0, 4]), frequency=1.0, winner=1.0)
    assert first[:, (0, 2)].abs().max() == 0
    assert first[:, (1, 3)].std().item() == pytest.approx(4.0, rel=0.15)
    both, _, _, _ = noise(grid, TaylorGreen(grid, wave=4), frequency=1.0, winner=1.0)
    assert both[:, (0, 2)].std().item() == pytest.approx(4.0, rel=0.15)


def test_the_networks_of_all_windows_have_noise():
    """Those of a stepper take over the weights of the first; those of a PINN do not."""
    grid = Grid((16,), TAU, "periodic")
    plain, noisy = pinn(grid, Sine(grid)).state_dict(), pinn(grid, Sine(grid), winner=1.0)
    changed = {k for k, v in noisy.state_dict().items() if not torch.equal(v, plain[k])}
    first_two = (f"networks.{n}.hidden.{i}.weight" for n in (0, 1) for i in (0, 1))
    assert changed == set(first_two)


def test_the_deviations_of_random_waves_follow_the_component_along_them():
    """κ = (3, 4): σ₀ = s κ·|ξ|/|ξ|² for the random waves, in any direction; none for time."""
    grid = Grid((16, 16), TAU, "periodic")
    u0 = Sine(grid, waves=[3, 4])
    options = {"fourier_features": 6, "wave_deviation": 3.0, "hidden_channels": 1000}
    options |= {"num_layers": 2, "windows": 1}
    noisy, plain = (pinn(grid, u0, winner=s, **options) for s in (0.5, 0.0))
    noise = weights(noisy)[0] - weights(plain)[0]
    waves = plain.waves.round()
    assert (waves.prod(1) != 0).any()
    for k, (a, b) in enumerate(waves.abs().tolist()):
        expected = 0.5 * (3 * a + 4 * b) / (a * a + b * b) if a or b else 0.0
        for column in (k, k + len(waves)):
            assert noise[:, column].std().item() == pytest.approx(expected, rel=0.08)
    assert noise[:, -1].abs().max() == 0


def local_wavenumber(model, x, layer):
    """Root mean square of ∂_x of the arguments of the sines of a layer."""
    if isinstance(model, PINN):
        jet = model.embedding(x, torch.zeros_like(x[0]), 0)
    else:
        jet = model.embedding(x)
    network = model.networks[0]
    return network.double().trace(jet)[layer][2].gradient.square().mean().sqrt().item()


@pytest.mark.parametrize("model", [field, pinn])
def test_the_noise_raises_the_frequencies_of_the_layers_with_that_of_the_initial_field(model):
    """cos x and sin x of the inputs have slopes of mean square 1/2 each, so that the first layer
    has the local wavenumber √(σ² + s²κ²), σ = ω/√3 that of the plain weights. The noise of one wave
    in the box does not change it, that of twenty does, also in the second layer."""
    grid = Grid((16,), TAU, "periodic")
    x = torch.linspace(0, TAU, 101, dtype=torch.float64)[None, :-1]
    found = {}
    for wave, scale in ((1, 0.0), (1, 1.0), (20, 0.0), (20, 1.0)):
        network = model(grid, Sine(grid, waves=[wave]), winner=scale)
        found[wave, scale] = [local_wavenumber(network, x, layer) for layer in (0, 1)]
        expected = math.sqrt(25 / 3 + (scale * wave) ** 2)
        assert found[wave, scale][0] == pytest.approx(expected, rel=0.1)
    assert found[1, 0.0] == found[20, 0.0]
    assert found[20, 1.0][1] > 4 * found[20, 0.0][1]
    assert found[1, 1.0][1] < 1.2 * found[1, 0.0][1]


def test_the_noise_does_not_depend_on_the_nodes_nor_on_the_unit_of_length():
    results = []
    for nodes, length in ((16, 1.0), (64, 1.0), (16, 1000.0)):
        grid = Grid((nodes,), length, "periodic")
        results.append(weights(field(grid, Sine(grid, waves=[20]), winner=1.0)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "NeuralFieldStepper", "num_steps": 1},
        {"name": "PINN", "activation": "sine", "num_layers": 2},
    ],
)
def test_the_seed_of_a_recipe_determines_the_noise(model):
    tables = {
        "task": "equation",
        "equation": {"name": "AdvectionDiffusion", "velocity": [1.0]},
        "model": {**model, "winner": 1.0},
        "training": {"epochs": 1, "batch_size": 1},
    }

    def first(**more):
        job = EquationTask().job(load_recipe({**tables, **more}), torch.device("cpu"))
        return weights(job.model)[0]

    assert torch.equal(first(), first())
    assert not torch.equal(first(), first(seed=1))


@pytest.mark.parametrize("model", [field, pinn])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"winner": -1.0}, "winner must be 0 or more"),
        ({"winner": math.nan}, "winner must be 0 or more"),
        ({"winner": 1.0, "activation": "tanh"}, "0 unless activation = 'sine'"),
        ({"winner": 1.0, "num_layers": 1}, "two hidden layers; got one"),
        ({"frequency": math.inf}, "frequency must be positive and finite; got inf"),
        ({"activation": "sinus"}, r"Unknown activation 'sinus'\..*Choose from sine, tanh"),
    ],
)
def test_bad_layers_are_refused(model, options, message):
    grid = Grid((16,), TAU, "periodic")
    with pytest.raises(ValueError, match=message):
        model(grid, Sine(grid), **options)
