"""The published variants: their sizes, their cycle, what they are not, and their plain twin."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from benchmarks.mgno import plain_cycle, plain_forward
from pdeops.datasets import generate, problem_named
from pdeops.domain import Grid
from pdeops.models import PublishedMgNO
from pdeops.models.operators.mgno_published import PUBLISHED, PublishedCycle
from pdeops.tasks import evaluate, load_recipe, load_run, train

# variant: input channels, nodes per axis, parameters, of which never used
SIZES = {
    "darcy_rough": (1, 64, 572_661, 0),
    "darcy_smooth": (1, 51, 678_093, 0),
    "pipe": (2, 64, 783_876, 0),
    "navier_stokes": (1, 64, 2_885_194, 0),
    "helmholtz": (1, 101, 5_351_806, 11_241),
    "helmholtz_plain": (1, 101, 1_933_797, 0),
}
every_variant = pytest.mark.parametrize("variant", PUBLISHED)


def build(variant, **arguments):
    torch.manual_seed(0)
    in_channels, n, *_ = SIZES[variant]
    return PublishedMgNO(in_channels, 1, Grid((n, n)), variant=variant, **arguments)


def small(variant):
    return build(variant, hidden_channels=4, n_layers=2)


def inputs(variant, generator, batch=2, dtype=torch.float32):
    in_channels, n, *_ = SIZES[variant]
    return torch.randn(batch, in_channels, n, n, generator=generator, dtype=dtype)


def cycle(variant, *, channels=3):
    torch.manual_seed(0)
    return PublishedCycle(PUBLISHED[variant], channels, channels).double()


@every_variant
def test_parameters_as_published(variant, generator):
    model = build(variant)
    *_, number, unused = SIZES[variant]
    assert sum(p.numel() for p in model.parameters()) == number
    model(inputs(variant, generator, batch=1)).square().sum().backward()
    assert sum(p.numel() for p in model.parameters() if p.grad is None) == unused


@pytest.mark.parametrize(
    ("variant", "accepted", "refused"),
    [
        ("darcy_rough", [(32, 32), (256, 256), (64, 96)], [(85, 85), (64, 65), (16, 16)]),
        ("darcy_smooth", [(51, 51), (211, 211), (243, 83)], [(64, 64), (85, 85), (241, 241)]),
        ("navier_stokes", [(64, 64)], [(32, 32), (128, 128)]),
        ("helmholtz", [(101, 101)], [(100, 100), (101, 102)]),
    ],
)
def test_grids_it_acts_on(variant, accepted, refused):
    for shape in accepted:
        PublishedMgNO(1, 1, Grid(shape), variant=variant, hidden_channels=2, n_layers=1)
    model = small(variant)
    for shape in refused:
        with pytest.raises(ValueError, match="PublishedMgNO needs"):
            PublishedMgNO(1, 1, Grid(shape), variant=variant)
        with pytest.raises(ValueError, match="PublishedMgNO needs"):
            model(torch.zeros(1, 1, *shape))


def test_sizes_of_the_smooth_variant():
    v = PUBLISHED["darcy_smooth"]
    assert [n for n in range(1, 260) if v.accepts((n, n))] == list(range(19, 260, 32))


def test_says_what_does_not_fit():
    with pytest.raises(ValueError, match="Unknown variant 'darcy'"):
        PublishedMgNO(1, 1, Grid((64, 64)), variant="darcy")
    with pytest.raises(ValueError, match="change of its input"):
        PublishedMgNO(1, 2, Grid((64, 64)), variant="navier_stokes")


@pytest.mark.parametrize(("variant", "n"), [("darcy_rough", 64), ("darcy_smooth", 51)])
def test_without_pi_the_cycle_is_additive_multigrid(variant, n, generator):
    """B_l = S_l + P_l B_{l+1} R_l: f is restricted, and all of the coarse u is added."""
    W = cycle(variant)
    level = W
    while level.coarser is not None:
        level.Pi.weight.data.zero_()
        level = level.coarser

    def additive(level, f):
        u = level.before[0].S(f)
        if level.coarser is not None:
            return u + level.P(additive(level.coarser, level.R(f)))
        return u + level.before[1].S(f - level.before[1].A(u))

    f = torch.randn(1, 3, n, n, generator=generator, dtype=torch.float64)
    assert (W(f) - additive(W, f)).norm() <= 1e-12 * W(f).norm()
    full = cycle(variant)
    assert (full(f) - W(f)).norm() > 1e-3 * W(f).norm()  # Pi matters


@pytest.mark.parametrize("variant", ["darcy_rough", "darcy_smooth", "pipe"])
def test_darcy_cycles_are_linear(variant, generator):
    W, n = cycle(variant), SIZES[variant][1]
    x, y = torch.randn(2, 1, 3, n, n, generator=generator, dtype=torch.float64)
    gap = W(2.5 * x - 0.3 * y) - (2.5 * W(x) - 0.3 * W(y))
    assert gap.norm() <= 1e-12 * W(x).norm()


@pytest.mark.parametrize("variant", ["navier_stokes", "helmholtz", "helmholtz_plain"])
def test_the_others_are_not(variant, generator):
    """LayerNorm inside, or biases."""
    W, n = cycle(variant), SIZES[variant][1]
    x, y = torch.randn(2, 1, 3, n, n, generator=generator, dtype=torch.float64)
    assert (W(x + y) - W(x) - W(y)).norm() > 1e-2 * W(x).norm()


def test_the_circular_variant_does_not_commute_with_shifts(generator):
    """Its upward transfers see zeros outside; without them, and without norms, it would."""
    W = cycle("navier_stokes")
    level = W
    while level.coarser is not None:
        level.norm = nn.Identity()
        level = level.coarser
    f = torch.randn(1, 3, 64, 64, generator=generator, dtype=torch.float64)

    def gap():
        return (W(f.roll(16, 2)) - W(f).roll(16, 2)).norm() / W(f).norm()

    assert 1e-2 < gap() < 0.2  # measured 0.058 with the published width
    W.P.weight.data.zero_()
    assert gap() < 1e-12


@every_variant
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 2e-4), (torch.float64, 1e-11)])
def test_equals_its_plain_twin(variant, dtype, rtol, generator):
    """Outputs and gradients, channels last and in place against contiguous and plain."""
    model = small(variant).to(dtype)
    twin = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    x = inputs(variant, generator, dtype=dtype)
    weight = torch.randn(2, 1, *x.shape[2:], generator=generator, dtype=dtype)
    y, z = model(x), plain_forward(twin, x)
    assert (y - z).norm() <= rtol * z.norm()
    (y * weight).sum().backward()
    (z * weight).sum().backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        if q.grad is not None:
            assert (p.grad - q.grad).norm() <= rtol * q.grad.norm() + 1e-12


def test_twin_of_the_cycle_is_its_equations(generator):
    """One level by hand: f restricted, the coarse u started from Pi u, all of it added."""
    W = cycle("darcy_rough")
    f = torch.randn(1, 3, 32, 32, generator=generator, dtype=torch.float64)
    u = W.before[0].S(f)
    expected = u + W.P(plain_cycle(W.coarser, W.R(f), W.Pi(u)))
    torch.testing.assert_close(W(f), expected, rtol=1e-12, atol=1e-14)


def test_trains_as_its_plain_twin(generator):
    """Same seeds: the two curves differ by round-off and what training makes of it."""
    model = small("darcy_rough")
    twin = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    x, y = torch.randn(2, 4, 1, 64, 64, generator=generator)
    curves = []
    for forward, m in ((nn.Module.__call__, model), (plain_forward, twin)):
        optimizer = torch.optim.Adam(m.parameters(), lr=1e-3)
        curves.append([])
        for _ in range(12):
            optimizer.zero_grad()
            loss = (forward(m, x) - y).norm() / y.norm()
            loss.backward()
            optimizer.step()
            curves[-1].append(loss.item())
    assert curves[0][-1] < curves[0][0]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_channels_stay_last(generator):
    """No convolution changes the format, which would cost a copy each way."""
    model = small("darcy_rough")
    seen = []

    def look(module, arguments, y):
        u, n = arguments[0], y.shape[1]
        seen.append(u.stride(1) == 1 and (n == 1 or y.stride(1) == 1))

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(look)
    model(inputs("darcy_rough", generator))
    assert len(seen) > 40
    assert all(seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        "PublishedMgNO(1, 1, Grid((64, 64)), hidden_channels=8, n_layers=2)",
        "MgNO(1, 1, Grid((33, 33)), hidden_channels=8, n_layers=2)",
        "MgNO(1, 1, Grid((32,), boundary='periodic'), hidden_channels=8, n_layers=2)",
        "MgNO(1, 1, Grid((9, 9, 9), boundary='neumann'), hidden_channels=8, n_layers=2)",
    ],
)
def test_compiles_without_a_graph_break(build, tmp_path):
    """In a process of its own, without shape checks: a decorated forward does not compile."""
    script = tmp_path / "graph.py"
    script.write_text(
        f"""
import torch
from pdeops.domain import Grid
from pdeops.models import MgNO, PublishedMgNO
torch.manual_seed(0)
model = {build}
x = torch.randn(2, 1, *model.grid.shape)
found = torch._dynamo.explain(model)(x)
assert found.graph_count == 1 and found.graph_break_count == 0, found
y = model(x)
y.square().mean().backward()
eager = [p.grad.clone() for p in model.parameters()]
model.zero_grad()
z = torch.compile(model, fullgraph=True)(x)
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


def test_trains_from_a_recipe(tmp_path):
    """The recipe of rough Darcy flow with another model's name, on small data."""
    problem = problem_named("darcy", "rough")
    for name, seed in (("train", 0), ("test", 1)):
        file = tmp_path / f"{name}.h5"
        generate(problem, problem.grid((32, 32)), num_samples=6, seed=seed, out=file)
    overrides = [
        "model.name=PublishedMgNO",
        "model.hidden_channels=4",
        "model.n_layers=2",
        "data.validation=2",
        "training.epochs=1",
        *(f"data.{name}='{tmp_path / name}.h5'" for name in ("train", "test")),
    ]
    recipe = load_recipe("mgno_rough128", overrides)
    train(recipe, out=tmp_path / "run", device="cpu")
    run = load_run(tmp_path / "run")
    assert run.recipe.model.arguments["variant"] == "darcy_rough"
    assert evaluate(run)["relative_l2"] < 2
