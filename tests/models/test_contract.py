"""The contract of every model, which a new one must pass before it may be named. A new model is a
row of `contract_rows.py`."""

import io
import json
import os
import subprocess
import sys

import pytest
import torch

from pdeops.domain import Grid, domain_from_dict
from pdeops.models import MODELS
from pdeops.nn.domains import check_domain

from .contract_rows import ROWS, model_of

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
    # As tasks do: a signature cannot say why a domain does not fit.
    check_domain(MODELS[model_of(name)], grid or row.grid)
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
    # All but FNO compute on the training grid; the padded field of FNO has a jump: O(h).
    assert gap < {"FNO": 0.05, "MgNO": 1e-5, "LSM": 1e-5, "Transolver": 1e-5}[model_of(name)]


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
