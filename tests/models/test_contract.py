"""The contract of every model: one row each. What a new model must pass before it may be named."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from pdeops.domain import Grid, Points, Sphere, domain_from_dict
from pdeops.models import MODELS
from pdeops.nn.domains import check_domain


@dataclass(frozen=True)
class Row:
    """A small model, and where it departs from the contract.

    Attributes:
        arguments: hyperparameters of a small one.
        grid: what it is built on where a test needs no other.
        accepts: the grids it maps fields of; each other one it must refuse with a ValueError.
        exempt: test -> why the model cannot meet it. Such a test must fail: an exemption that is
            no longer needed is an error.
        channels: input and output channels.
        times: times of its frames; None for a model without an axis of time.
    """

    arguments: Mapping[str, Any]
    grid: Grid | Points | Sphere = field(default_factory=lambda: Grid((17, 17)))
    accepts: Callable[[Grid | Points | Sphere], bool] = lambda grid: True
    exempt: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[int, int] = (2, 3)
    times: Mapping[str, Any] | None = None

    @property
    def given(self):
        """What a run passes besides the grid."""
        return self.times or {}

    def input_shape(self, shape, batch):
        """Of fields or trajectories on a grid of this shape."""
        frames = (len(self.times["times_in"]),) if self.times else ()
        return (batch, *frames, self.channels[0], *shape)

    def output_shape(self, shape, batch):
        frames = (len(self.times["times_out"]),) if self.times else ()
        return (batch, *frames, self.channels[1], *shape)


def even(grid):
    return grid.shape[0] % 2 == 0


def even_on_all_levels(grid):
    return grid.shape[0] % 4 == 0


def multiple_of_32(grid):
    return all(n % 32 == 0 for n in grid.shape)


def periodic(grid):
    return isinstance(grid, Grid) and set(grid.boundary) == {"periodic"}


def spherical(domain):
    return isinstance(domain, Sphere)


def scattered(domain):
    return isinstance(domain, Points)


def multiple_of_48_after_padding_by_7(grid):
    return all((n + 7) % 48 == 0 for n in grid.shape)


def cloud(n=40):
    """n points of the unit square that all samples share."""
    return Points(2, torch.rand(2, n, generator=torch.Generator().manual_seed(0)))


# What stands in their place: test_neuraloperator.py.
NEURALOPERATOR = {
    "test_gradient_is_that_of_differences": "its spectral convolution computes in single precision",
    "test_periodic_model_commutes_with_shifts": "its coordinates are not ours to hold constant",
    "test_is_one_operator_on_nested_grids": "grids that nest with their ends have odd sizes",
}
PUBLISHED_LSM = {  # what stands in their place: test_lsm_published.py
    "test_every_parameter_has_a_gradient": "sin 0 and the bias of the keys have no effect",
    "test_gradient_is_that_of_differences": "the step crosses kinks of relu and of the maximum",
    "test_evaluation_draws_no_random_numbers": "it has no dropout",
    "test_autocast": "parameters without an effect have no gradient",
    "test_compiled_equals_eager": "parameters without an effect have no gradient",
    "test_real_parameters": "batch normalisation counts its steps",
    "test_samples_do_not_see_each_other": "batch normalisation in training mode",
    "test_is_one_operator_on_nested_grids": "grids that nest with their ends are refused",
    "test_periodic_model_commutes_with_shifts": "it has no 16 x 16 grid, and zeros outside",
}
ROWS = {
    "FNO": Row({"n_modes": [8, 8], "hidden_channels": 6, "n_layers": 2, "mlp_channels": 5}),
    "MgNO": Row({"hidden_channels": 6, "n_layers": 2}),
    "PublishedMgNO": Row(  # its variants: test_mgno_published.py
        {"hidden_channels": 6, "n_layers": 2},
        grid=Grid((32, 32)),
        accepts=multiple_of_32,
        exempt={
            "test_evaluation_draws_no_random_numbers": "it has no dropout",
            "test_is_one_operator_on_nested_grids": "grids that nest with their ends are refused",
            "test_periodic_model_commutes_with_shifts": "it has no 16 x 16 grid, and zeros outside",
        },
    ),
    "LSM": Row({"hidden_channels": 6, "num_heads": 2, "levels": 3, "patches": 1}),
    "PointLSM": Row(
        {
            "hidden_channels": 6,
            "n_modes": [4, 4],
            "latent_shape": [8, 8],
            "levels": 3,
            "num_heads": 2,
            "coordinate_map": True,
        },
        grid=cloud(),
        accepts=scattered,
        exempt={
            "test_every_parameter_has_a_gradient": "its coordinate map starts at the identity",
            "test_periodic_model_commutes_with_shifts": "the box of the test has no points",
            "test_is_one_operator_on_nested_grids": "the box of the test has no points",
        },
    ),
    "PublishedLSM": Row(
        {"variant": "elasticity_grid", "hidden_channels": 8},
        grid=Grid((41, 41)),
        accepts=multiple_of_48_after_padding_by_7,
        exempt=PUBLISHED_LSM,
    ),
    "PublishedPointLSM": Row(
        {
            "hidden_channels": 8,
            "n_modes": [4, 4],
            "latent_shape": [32, 32],
            "patch": [2, 2],
            "num_parameters": 3,
        },
        grid=cloud(),
        accepts=scattered,
        exempt=PUBLISHED_LSM,
    ),
    "NeuralopFNO": Row(
        {"n_modes": [8, 8], "hidden_channels": 6, "n_layers": 2},
        grid=Grid((16, 17)),
        accepts=even,
        exempt=NEURALOPERATOR,
    ),
    "NeuralopTFNO": Row(
        {"n_modes": [8, 8], "hidden_channels": 6, "n_layers": 2, "rank": 0.3},
        grid=Grid((16, 17)),
        accepts=even,
        exempt=NEURALOPERATOR,
    ),
    "NeuralopUNO": Row(
        {
            "hidden_channels": 4,
            "uno_out_channels": [4, 6, 4],
            "uno_n_modes": [[8, 8], [4, 4], [4, 4]],
            "uno_scalings": [[1, 1], [0.5, 0.5], [2, 2]],
            "lifting_channels": 8,
            "projection_channels": 8,
        },
        grid=Grid((16, 17)),
        accepts=even_on_all_levels,
        exempt=NEURALOPERATOR,
    ),
    "NeuralopSFNO": Row(
        {"n_modes": [8, 12], "hidden_channels": 6, "n_layers": 2},
        grid=Sphere((13, 24)),
        accepts=spherical,
        exempt={
            "test_periodic_model_commutes_with_shifts": "the box of the test is no sphere",
            "test_is_one_operator_on_nested_grids": "the box of the test is no sphere",
        },
    ),
    "SpatiotemporalFNO": Row(
        {"n_modes": [6, 8], "hidden_channels": 6, "n_layers": 2, "mlp_channels": 5},
        grid=Grid((16, 17), boundary="periodic"),
        accepts=periodic,
        exempt={
            # On a box without ends; M3 in test_spatiotemporal_fno.py is stricter.
            "test_is_one_operator_on_nested_grids": "it refuses boxes with ends",
        },
        channels=(3, 2),
        times={"times_in": [-0.2, -0.1, 0.0], "times_out": [0.1, 0.2, 0.3, 0.4]},
    ),
}

# A second row of a model, "name on a sphere", for another type of domain.
ROWS["SpatiotemporalFNO on a sphere"] = Row(
    {"n_modes": [8, 12], "hidden_channels": 6, "n_layers": 2, "mlp_channels": 5},
    grid=Sphere((13, 24)),
    accepts=lambda domain: spherical(domain) or periodic(domain),
    exempt={"test_is_one_operator_on_nested_grids": "it refuses boxes with ends"},
    channels=(3, 2),
    times={"times_in": [-0.2, -0.1, 0.0], "times_out": [0.1, 0.2, 0.3, 0.4]},
)


def model_of(name):
    """The name of the model of a row."""
    return name.split()[0]


every_model = pytest.mark.parametrize("name", sorted(ROWS))


@pytest.fixture(autouse=True)
def _exemption(request):
    """A test that a model is exempt from must fail."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    reason = "name" in parameters and ROWS[parameters["name"]].exempt.get(request.function.__name__)
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def build(name, grid=None, *, seed=0, **arguments):
    torch.manual_seed(seed)
    row = ROWS[name]
    check_domain(
        MODELS[model_of(name)], grid or row.grid
    )  # as tasks do; a signature cannot say why
    arguments = {**row.given, **row.arguments, **arguments}
    return MODELS[model_of(name)](*row.channels, grid or row.grid, **arguments)


def fields(name, generator, grid, *, batch=2):
    return torch.randn(ROWS[name].input_shape(grid.shape, batch), generator=generator)


def test_every_model_has_a_row():
    assert {model_of(name) for name in ROWS} == set(MODELS)


@every_model
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic", "neumann", ("periodic", "neumann")])
@pytest.mark.parametrize("shape", [(16, 16), (17, 17), (15, 26)])
def test_maps_fields_of_its_grid(name, boundary, shape, generator):
    grid = Grid(shape, boundary=boundary)
    if not ROWS[name].accepts(grid):
        with pytest.raises(ValueError, match=f"{model_of(name)} needs"):
            build(name, grid)
        return
    y = build(name, grid)(fields(name, generator, grid))
    assert y.shape == ROWS[name].output_shape(shape, 2)
    assert y.isfinite().all()
    assert y.dtype == torch.float32


@every_model
def test_every_parameter_has_a_gradient(name, generator):
    model = build(name)
    y = model(fields(name, generator, model.grid))
    (y * torch.randn(y.shape, generator=generator)).sum().backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


@every_model
def test_gradient_is_that_of_differences(name, generator):
    """Directional derivative in weights and input against a central difference, in float64."""
    model = build(name).double()
    x = fields(name, generator, model.grid).double()
    parameters = {n: p.detach() for n, p in model.named_parameters()}
    step = {n: torch.randn(p.shape, generator=generator).double() for n, p in parameters.items()}
    dx = fields(name, generator, model.grid).double()

    def loss(t):
        moved = {n: p + t * step[n] for n, p in parameters.items()}
        return torch.func.functional_call(model, moved, (x + t * dx,)).square().mean()

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(t), t)
    h = 1e-6
    difference = (loss(torch.tensor(h).double()) - loss(torch.tensor(-h).double())) / (2 * h)
    assert difference.item() == pytest.approx(slope.item(), rel=1e-5)


@every_model
def test_deterministic(name, generator):
    x = fields(name, generator, ROWS[name].grid)
    y = build(name)(x)
    assert torch.equal(y, build(name)(x))
    assert not torch.equal(y, build(name, seed=1)(x))  # negative control: the seed matters


@every_model
def test_evaluation_draws_no_random_numbers(name, generator):
    model = build(name, dropout=0.5).eval()
    x = fields(name, generator, model.grid)
    state = torch.get_rng_state()
    y = model(x)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(y, model(x))
    assert not torch.equal(model.train()(x), y)  # dropout acts while training


@every_model
def test_saved_and_rebuilt(name, generator):
    """Arguments (as JSON) and weights (as a plain container) are all that a checkpoint needs."""
    model = build(name)
    grid, x = model.grid, fields(name, generator, model.grid)
    file = io.BytesIO()
    torch.save({"arguments": model.arguments, "weights": model.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    arguments = json.loads(json.dumps(saved["arguments"]))
    torch.manual_seed(7)
    row = ROWS[name]
    again = MODELS[model_of(name)](
        *row.channels, domain_from_dict(grid.to_dict()), **row.given, **arguments
    )
    assert again.arguments == model.arguments
    again.load_state_dict(saved["weights"])
    assert torch.equal(again(x), model(x))


@every_model
def test_real_parameters(name):
    """Complex numbers are real pairs: DDP, export and compile stumble on complex parameters."""
    assert {p.dtype for p in build(name).state_dict().values()} == {torch.float32}


@every_model
def test_autocast(name, generator):
    """bfloat16 where it is harmless: about three digits, finite gradients in float32."""
    model = build(name)
    x = fields(name, generator, model.grid)
    y = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_half = model(x)
    assert (y_half.float() - y).norm() < 0.03 * y.norm()
    y_half.float().square().mean().backward()
    assert all(
        p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters()
    )


@every_model
def test_float64(name, generator):
    model = build(name)
    x = fields(name, generator, model.grid)
    y = model(x).double()
    torch.testing.assert_close(model.double()(x.double()), y, rtol=1e-4, atol=1e-5)


@every_model
def test_samples_do_not_see_each_other(name, generator):
    model = build(name)
    x = fields(name, generator, model.grid, batch=3)
    y = model(x)
    for i in range(3):
        torch.testing.assert_close(model(x[i : i + 1]), y[i : i + 1], rtol=1e-4, atol=1e-5)


def smooth(grid, batch=1):
    """Two channels that are the same functions on every grid, zero slope at the ends."""
    x, y = grid.nodes()
    u = torch.cos(torch.pi * x) * torch.cos(2 * torch.pi * y)
    v = torch.cos(2 * torch.pi * x) + 0.5 * torch.cos(torch.pi * y)
    return torch.stack([u, v]).float()[None].expand(batch, 2, *grid.shape)


@every_model
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
@pytest.mark.parametrize("shape", [(33, 33), (65, 33), (24, 40), (9, 9)])
def test_changes_resolution(name, boundary, shape, generator):
    row = ROWS[name]
    grid = Grid(row.grid.shape, boundary=boundary)
    if not row.accepts(grid):
        with pytest.raises(ValueError, match=f"{model_of(name)} needs"):
            build(name, grid)
        return
    model, x = build(name, grid), fields(name, generator, grid.with_shape(shape))
    if not row.accepts(grid.with_shape(shape)):
        with pytest.raises(ValueError, match=f"{model_of(name)} needs"):
            model(x)
        return
    y = model(x)
    assert y.shape == ROWS[name].output_shape(shape, 2)
    assert y.isfinite().all()


@every_model
def test_is_one_operator_on_nested_grids(name):
    """A smooth input on a grid twice as fine gives nearly the same output at the common nodes."""
    grid = Grid((33, 33))
    model = build(name, grid)
    coarse = model(smooth(grid))
    fine = model(smooth(grid.refined(2)))[..., ::2, ::2]
    gap = (fine - coarse).norm() / coarse.norm()
    # MgNO and LSM compute on the training grid; the padded field of FNO has a jump: O(h).
    assert gap < {"FNO": 0.05, "MgNO": 1e-5, "LSM": 1e-5}[name]


@every_model
def test_periodic_model_commutes_with_shifts(name, generator):
    """Of the input alone; position channels are removed by giving them constant values."""
    model = build(name, Grid((16, 16), boundary="periodic")).double()
    if hasattr(model, "position"):
        model.position.fill_(0.3)
    x = fields(name, generator, model.grid).double()
    by = {"shifts": (4, -8), "dims": (-2, -1)}
    torch.testing.assert_close(model(x.roll(**by)), model(x).roll(**by), rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@every_model
def test_compiled_equals_eager(name, tmp_path):
    """In a process of its own, without shape checks: a decorated forward does not compile."""
    row = ROWS[name]
    script = tmp_path / "compiled.py"
    script.write_text(
        f"""
import torch
from pdeops.domain import domain_from_dict
from pdeops.models import MODELS
torch.manual_seed(0)
grid = domain_from_dict({row.grid.to_dict()!r})
model = MODELS[{model_of(name)!r}](*{row.channels!r}, grid, **{ {**row.given, **row.arguments}!r})
x = torch.randn({row.input_shape(row.grid.shape, 2)!r})
y = model(x)
y.square().mean().backward()
eager = [p.grad.clone() for p in model.parameters()]
model.zero_grad()
z = torch.compile(model)(x)
z.square().mean().backward()
torch.testing.assert_close(z, y, rtol=1e-4, atol=1e-5)
torch.testing.assert_close([p.grad for p in model.parameters()], eager, rtol=1e-3, atol=1e-5)
"""
    )
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "JAXTYPING_DISABLE": "1", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
