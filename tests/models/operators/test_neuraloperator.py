"""neuraloperator behind our constructor: the same numbers, its defects, none of its noise."""

import os
import subprocess
import sys

import pytest
import torch

from pdeops.domain import Grid, Sphere
from pdeops.models import (
    NeuralopFNO,
    NeuralopSFNO,
    NeuralopTFNO,
    NeuralopUNO,
)
from pdeops.models.neuralop_package import network_class, silent
from pdeops.nn.domains import check_domain

SPHERE = Sphere((17, 32))
LAYERS = {
    "uno_out_channels": [4, 6, 4],
    "uno_n_modes": [[8, 8], [4, 4], [4, 4]],
    "uno_scalings": [[1, 1], [0.5, 0.5], [2, 2]],
}
SMALL = {"n_modes": [8, 8], "hidden_channels": 4, "n_layers": 2}


def python(code, folder):
    """The code in a fresh process, in an empty folder that is its home."""
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": os.getcwd()}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_is_imported_when_needed_in_silence_and_without_wandb(tmp_path):
    """Its import prints, filters warnings and loads wandb; its UNO prints whenever it is built."""
    code = f"""
import sys, warnings
from pdeops.domain import Grid
from pdeops.models import NeuralopFNO, NeuralopUNO
assert "neuralop" not in sys.modules
filters = list(warnings.filters)
NeuralopFNO(1, 1, Grid((16, 16)))
NeuralopUNO(1, 1, Grid((16, 16)), **{LAYERS!r})
assert "neuralop" in sys.modules
assert "wandb" not in sys.modules
assert warnings.filters == filters
"""
    done = python(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_wandb_that_is_in_use_stays(tmp_path):
    code = """
import sys, types
sys.modules["wandb"] = wandb = types.ModuleType("wandb")
from pdeops.domain import Grid
from pdeops.models import NeuralopFNO
NeuralopFNO(1, 1, Grid((16, 16)))
assert sys.modules["wandb"] is wandb
"""
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_says_why_the_spherical_network_is_missing(monkeypatch):
    with silent():
        network_class("SFNO")
    monkeypatch.delattr("neuralop.models.SFNO")
    monkeypatch.setitem(sys.modules, "torch_harmonics", None)
    with pytest.raises(ImportError, match="torch_harmonics"):
        NeuralopSFNO(1, 1, SPHERE)


@pytest.mark.parametrize(
    ("cls", "arguments", "options"),
    [
        (NeuralopFNO, SMALL, SMALL),
        (NeuralopTFNO, {**SMALL, "rank": 0.2}, {**SMALL, "rank": 0.2}),
        (
            NeuralopUNO,
            {"hidden_channels": 4, **LAYERS},
            {"hidden_channels": 4, **LAYERS, "n_layers": 3, "channel_mlp_skip": "linear"},
        ),
    ],
)
def test_is_their_network_weight_for_weight(cls, arguments, options, generator):
    """The same seed draws the same numbers and gives the same field, bit for bit."""
    torch.manual_seed(3)
    ours = cls(2, 1, Grid((16, 16)), **arguments)
    torch.manual_seed(3)
    with silent():
        theirs = network_class(cls.__name__.removeprefix("Neuralop"))(
            in_channels=2, out_channels=1, **options
        )
    x = torch.randn(2, 2, 16, 16, generator=generator)
    assert torch.equal(ours(x), theirs(x))
    complex_weights = [p for p in theirs.parameters() if p.is_complex()]
    assert complex_weights  # which ours holds as real pairs
    count = sum(p.numel() for p in theirs.parameters()) + sum(p.numel() for p in complex_weights)
    assert sum(p.numel() for p in ours.parameters()) == count


def band_limited(shape):
    """A real field of all waves with numbers up to 2, and the grid's axes in [0, 2π)."""
    generator = torch.Generator().manual_seed(0)
    axes = [2 * torch.pi * torch.arange(n) / n for n in shape]
    x = torch.meshgrid(*axes, indexing="ij")
    u = torch.zeros(shape)
    for k in torch.cartesian_prod(*[torch.arange(-2, 3)] * len(shape)).view(-1, len(shape)):
        phase = sum(k_i * x_i for k_i, x_i in zip(k, x, strict=True))
        a, b = torch.randn(2, generator=generator)
        u += a * phase.cos() + b * phase.sin()
    return u[None, None]


def error_of_identity(shape, scaling=None):
    """Relative error of their convolution with weights one on a band-limited field."""
    with silent():
        network_class("FNO")
        from neuralop.layers.spectral_convolution import SpectralConv
    convolution = SpectralConv(
        1, 1, [8] * len(shape), bias=False, resolution_scaling_factor=scaling
    )
    with torch.no_grad():
        convolution.weight.tensor.fill_(1)
        y = convolution(band_limited(shape))
    expected = band_limited(y.shape[2:])
    return ((y - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(
    ("shape", "right"),
    [
        ((65,), True),
        ((64, 64), True),
        ((64, 65), True),
        ((65, 64), False),
        ((85, 85), False),
        ((16, 16, 17), True),
        ((16, 17, 16), False),
    ],
)
def test_refuses_exactly_the_sizes_it_computes_wrongly(shape, right):
    """Fails when neuraloperator mends it: then the refusal can go."""
    arguments = {"n_modes": [8] * len(shape), "hidden_channels": 2, "n_layers": 1}
    x = torch.ones(1, 1, *shape)
    if right:
        assert error_of_identity(shape) < 1e-6
        assert NeuralopFNO(1, 1, Grid(shape), **arguments)(x).shape == x.shape
    else:
        assert error_of_identity(shape) > 1
        with pytest.raises(ValueError, match="allow_odd"):
            NeuralopFNO(1, 1, Grid(shape), **arguments)
        assert NeuralopFNO(1, 1, Grid(shape), **arguments, allow_odd=True)(x).shape == x.shape


def test_uno_refuses_what_is_odd_inside():
    with pytest.raises(ValueError, match=r"inside, \(9, 9\)"):
        NeuralopUNO(1, 1, Grid((18, 18)), **LAYERS)
    NeuralopUNO(1, 1, Grid((18, 18)), **LAYERS, domain_padding=0.06)  # 20 nodes, then 10


@pytest.mark.parametrize(("scaling", "error"), [(0.5, 0.40), (2.0, 0.57)])
def test_uno_loses_waves_where_it_changes_the_resolution(scaling, error):
    """What the docstring of NeuralopUNO says; fails when neuraloperator mends it."""
    assert error_of_identity((64, 64), scaling) == pytest.approx(error, abs=0.01)
    assert error_of_identity((64,), scaling) < 1e-6


@pytest.mark.parametrize("cls", [NeuralopFNO, NeuralopTFNO])
def test_commutes_with_shifts(cls, generator):
    model = cls(1, 1, Grid((16, 16), boundary="periodic"), **SMALL, positional_embedding=False)
    x = torch.randn(2, 1, 16, 16, generator=generator)
    by = {"shifts": (3, -5), "dims": (2, 3)}
    torch.testing.assert_close(model(x.roll(**by)), model(x).roll(**by), rtol=1e-4, atol=1e-6)
    placed = cls(1, 1, Grid((16, 16), boundary="periodic"), **SMALL)  # negative control
    assert not torch.allclose(placed(x.roll(**by)), placed(x).roll(**by), rtol=1e-2, atol=1e-4)


def test_spherical_network_commutes_with_rotations_about_the_poles(generator):
    model = NeuralopSFNO(1, 1, SPHERE, n_modes=[8, 16], n_layers=2, positional_embedding=False)
    x = torch.randn(2, 1, *SPHERE.shape, generator=generator)
    torch.testing.assert_close(model(x.roll(5, -1)), model(x).roll(5, -1), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(model(x.roll(5, -2)), model(x).roll(5, -2), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("cls", [NeuralopFNO, NeuralopTFNO])
def test_is_one_operator_on_nested_grids(cls):
    grid = Grid((32, 32), boundary="periodic")
    model = cls(1, 1, grid, **SMALL)
    coarse = model(band_limited((32, 32)))
    fine = model(band_limited((64, 64)))[..., ::2, ::2]
    assert (fine - coarse).norm() < 1e-2 * coarse.norm()


def test_spherical_network_is_one_operator_on_nested_grids():
    """cos θ + sin θ cos λ on 17 x 32 and 33 x 64 nodes, both poles stored."""

    def smooth(grid):
        theta, longitude = grid.nodes(torch.float32)
        return (theta.cos() + theta.sin() * longitude.cos())[None, None]

    model = NeuralopSFNO(1, 1, SPHERE, n_modes=[8, 16], n_layers=2, positional_embedding=False)
    coarse = model(smooth(SPHERE))
    fine = model(smooth(SPHERE.refined(2)))[..., ::2, ::2]
    assert (fine - coarse).norm() < 1e-2 * coarse.norm()


def test_pads_axes_that_are_not_periodic():
    def output(boundary, padding):
        torch.manual_seed(0)
        model = NeuralopFNO(
            1, 1, Grid((16, 16), boundary=boundary), **SMALL, domain_padding=padding
        )
        return model(band_limited((16, 16)))

    assert torch.equal(output("periodic", 0.25), output("periodic", 0.0))
    both, one = output("dirichlet", 0.25), output(("dirichlet", "periodic"), 0.25)
    none = output("dirichlet", 0.0)
    assert not torch.allclose(both, one, rtol=1e-2)
    assert not torch.allclose(one, none, rtol=1e-2)


def test_may_move_after_it_was_called(monkeypatch):
    """It keeps the coordinates of its last call beside its buffers."""
    model = NeuralopFNO(1, 1, Grid((16, 16)), **SMALL)
    x = torch.zeros(1, 1, 16, 16)
    model(x)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # "meta" has none
    assert model.to("meta")(x.to("meta")).device.type == "meta"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NeuralopFNO(1, 1, Grid((16, 16)), n_modes=[8]), r"per axis of the grid \(2\)"),
        (lambda: NeuralopTFNO(1, 1, Grid((16,)), n_modes=[8, 8]), r"per axis of the grid \(1\)"),
        (
            lambda: NeuralopUNO(1, 1, Grid((16, 16)), **{**LAYERS, "uno_out_channels": [4, 4]}),
            "one entry per layer",
        ),
        (
            lambda: NeuralopUNO(
                1, 1, Grid((16, 16)), **{**LAYERS, "uno_scalings": [[1, 1], [0.5, 1], [1, 1]]}
            ),
            "multiply to 1",
        ),
        (lambda: check_domain(NeuralopSFNO, Grid((16, 32))), "NeuralopSFNO needs.*Sphere"),
        (lambda: NeuralopSFNO(1, 1, Sphere((16, 32), "gauss")), "needs equiangular latitudes"),
        (lambda: NeuralopSFNO(1, 1, SPHERE, n_modes=[18, 16]), "exceed the 17 latitudes"),
    ],
)
def test_errors_say_what_is_needed(build, message):
    with pytest.raises(ValueError, match=message):
        build()
