"""The published LSM: sizes, checkpoints of its authors, figures of their code, and its defects."""

import math

import pytest
import torch

from pdeops.domain import Grid, Points
from pdeops.models import PublishedLSM, PublishedPointLSM
from pdeops.models.operators.lsm_published import PUBLISHED
from pdeops.models.operators.lsm_published_points import to_points_off_by_one
from pdeops.nn.nonuniform import hermitian_weights, to_modes, to_points, wavenumbers

# variant: channels in and out, nodes per axis, parameters
SIZES = {
    "darcy": (1, 1, (85, 85), 19_187_457),
    "navier_stokes": (10, 1, (64, 64), 19_188_033),
    "elasticity_grid": (1, 1, (41, 41), 4_812_801),
    "airfoil": (2, 1, (221, 51), 4_812_833),
    "pipe": (2, 1, (129, 129), 10_804_913),
    "plasticity": (1, 4, (101, 31, 20), 13_457_828),
}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_as_published(variant):
    i, o, shape, number = SIZES[variant]
    with torch.device("meta"):
        model = PublishedLSM(i, o, Grid(shape), variant=variant)
    assert sum(p.numel() for p in model.parameters()) == number


def test_parameters_on_points_as_published():
    with torch.device("meta"):
        model = PublishedPointLSM(2, 1, Points(2))
    of_map = sum(p.numel() for p in model.coordinates.parameters())
    assert of_map == 63_746
    assert sum(p.numel() for p in model.parameters()) == 5_992_609 + of_map


def conv_pair(name, i, middle, o, nodes):
    """Names and shapes in the authors' checkpoints, here of two convolutions with their norms."""
    shapes = {}
    for k, (a, b) in ((0, (i, middle)), (3, (middle, o))):
        shapes[f"{name}.double_conv.{k}.weight"] = (b, a, *nodes)
        norm = f"{name}.double_conv.{k + 1}"
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (b,)
        shapes[f"{norm}.num_batches_tracked"] = ()
    return shapes


def trunk(d, ndim, num_basis=12, num_tokens=4):
    nodes, one = (3,) * ndim, (1,) * ndim
    w = [d, 2 * d, 4 * d, 8 * d, 8 * d]
    shapes = conv_pair("inc", d, d, d, nodes)
    for l in range(1, 5):
        shapes |= conv_pair(f"down{l}.maxpool_conv.1", w[l - 1], w[l], w[l], nodes)
    for j, (i, o) in enumerate(((16, 4), (8, 2), (4, 1), (2, 1)), 1):
        shapes |= conv_pair(f"up{j}.conv", i * d, i * d // 2, o * d, nodes)
    shapes |= {"outc.conv.weight": (d, d, *one), "outc.conv.bias": (d,)}
    for l, c in enumerate(w, 1):
        shapes |= {
            f"process{l}.weights": (c, 2 * num_basis),
            f"process{l}.latent": (8, num_tokens, c // 8),
            f"process{l}.encoder_attn.weight": (2 * c, c, *one),
            f"process{l}.encoder_attn.bias": (2 * c,),
            f"process{l}.decoder_attn.weight": (c, c, *one),
            f"process{l}.decoder_attn.bias": (c,),
        }
    return shapes


def linear(name, i, o):
    return {f"{name}.weight": (o, i), f"{name}.bias": (o,)}


def on_grid(d, i, o, ndim):
    ends = linear("fc0", i + ndim, d) | linear("fc1", d, 128) | linear("fc2", 128, o)
    return trunk(d, ndim) | ends


def on_points(d, modes):
    ends = linear("fc0", 2, d) | linear("fc1", d, 128) | linear("fc2", 128, 1)
    complex_weights = {
        f"fftproject_{side}.weights{half}": (d, d, modes, modes)
        for side in ("in", "out")
        for half in (1, 2)
    }
    positions = {
        "convproject_in.weight": (d, 2, 1, 1),
        "convproject_in.bias": (d,),
        "convproject_out.weight": (d, 2, 1),
        "convproject_out.bias": (d,),
    }
    return trunk(d, 2) | ends | complex_weights | positions


def coordinate_map():
    return (
        linear("fc0", 4, 32)
        | linear("fc_code", 42, 32)
        | linear("fc_no_code", 96, 128)
        | linear("fc1", 128, 128)
        | linear("fc2", 128, 128)
        | linear("fc3", 128, 128)
        | linear("fc4", 128, 2)
    )


def filled(shapes):
    """A checkpoint by a formula, so that the figures below need no file."""
    state = {}
    for k, (name, shape) in enumerate(sorted(shapes.items())):
        number, fan_in = math.prod(shape), math.prod(shape[1:])
        v = torch.sin(1.7 * torch.arange(number, dtype=torch.float64) + k).reshape(shape)
        v = v * math.sqrt(2 / fan_in) if len(shape) > 1 else 0.1 * v
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            v = 1 + v
        if name.startswith("fftproject"):
            v = torch.complex(v, v.flip(0))
        state[name] = torch.tensor(3) if name.endswith("tracked") else v
    return state


def wave(*shape):
    number = math.prod(shape)
    return torch.sin(0.37 * torch.arange(number, dtype=torch.float64) ** 1.1).reshape(shape)


# Computed by the authors' code (float64, `filled` as checkpoint): norm and first entry of the
# output in training and in evaluation mode.
FIGURES = {
    "elasticity_grid": [(17.1482651, -0.294523415), (17.088201, -0.294517753)],
    "plasticity": [(166.924203, -0.297317789), (167.5121, -0.296216617)],
}


@pytest.mark.parametrize(
    "variant", ["elasticity_grid", pytest.param("plasticity", marks=pytest.mark.slow)]
)
def test_output_of_the_authors_code(variant):
    i, o, shape, _ = SIZES[variant]
    state = filled(on_grid(8, i, o, len(shape)))
    model = PublishedLSM(i, o, Grid(shape), variant=variant, hidden_channels=8).double()
    model.load_published(state)
    x = wave(2, i, *shape)
    for mode, (norm, entry) in zip((True, False), FIGURES[variant], strict=True):
        with torch.no_grad():
            y = model.train(mode)(x)
        assert y.norm().item() == pytest.approx(norm, rel=1e-5)
        assert y.flatten()[0].item() == pytest.approx(entry, rel=1e-5)


def test_output_of_the_authors_code_on_points():
    state, map_state = filled(on_points(8, 4)), filled(coordinate_map())
    model = PublishedPointLSM(
        2, 1, Points(2), hidden_channels=8, n_modes=(8, 8), latent_shape=(32, 32), patch=(2, 2)
    ).double()
    model.load_published(state, map_state)
    x = 0.5 + 0.5 * wave(2, 2, 60)
    points, code = Points(2, x), wave(2, 42)
    with torch.no_grad():
        y = model.eval()(x, points, code)
    norm, entry = (57.651659, 5.31450283)
    assert y.norm().item() == pytest.approx(norm, rel=1e-5)
    assert y.flatten()[0].item() == pytest.approx(entry, rel=1e-5)


def test_refuses_a_checkpoint_of_another_network():
    model = PublishedLSM(
        1, 1, Grid((41, 41)), variant="elasticity_grid", hidden_channels=8
    ).double()
    with pytest.raises(ValueError, match="is not that of this network"):
        model.load_published(filled(on_grid(16, 1, 1, 2)))
    with pytest.raises(ValueError, match=r"parameter 'convproject_in.*does not have"):
        model.load_published(filled(on_points(8, 4)))


def test_unused_parameters_have_no_effect(generator):
    """The first sine and the bias of the keys: no gradient, and no change of the output."""
    torch.manual_seed(0)
    model = PublishedLSM(1, 1, Grid((41, 41)), variant="elasticity_grid", hidden_channels=8).eval()
    x = torch.randn(1, 1, 41, 41, generator=generator)
    y = model(x)
    y.square().sum().backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None]
    kinds = ("unused_key_bias", "unused_sine")
    assert sorted({n.rsplit(".")[-1] for n in unused}) == sorted(kinds)
    assert len(unused) == 10


def test_no_channels_are_refused():
    with pytest.raises(ValueError, match="PublishedLSM needs one hidden channel at least; got 0"):
        PublishedLSM(1, 1, Grid((41, 41)), variant="elasticity_grid", hidden_channels=0)
    with pytest.raises(ValueError, match="PublishedPointLSM needs one hidden channel"):
        PublishedPointLSM(2, 1, Points(2), hidden_channels=0)


@pytest.mark.parametrize(
    ("variant", "accepted", "refused"),
    [
        ("darcy", [(85, 85), (181, 85)], [(64, 64), (96, 96), (421, 421)]),
        ("navier_stokes", [(64, 64), (128, 64)], [(96, 100), (63, 64)]),
        ("plasticity", [(101, 31, 20)], [(101, 31), (100, 31, 20)]),
    ],
)
def test_grids_it_acts_on(variant, accepted, refused):
    v = PUBLISHED[variant]
    assert all(v.accepts(shape) for shape in accepted)
    for shape in refused:
        with pytest.raises(ValueError, match="PublishedLSM needs"):
            PublishedLSM(1, 1, Grid(shape), variant=variant, hidden_channels=8)


def test_says_what_does_not_fit():
    with pytest.raises(ValueError, match="Unknown variant 'heat' of LSM"):
        PublishedLSM(1, 1, Grid((85, 85)), variant="heat")
    with pytest.raises(ValueError, match="20 channels and 8 heads"):
        PublishedLSM(1, 1, Grid((64, 64)), variant="navier_stokes", hidden_channels=20)
    with pytest.raises(ValueError, match="points with 2 coordinates"):
        PublishedPointLSM(1, 1, Points(3), hidden_channels=8)
    cloud = Points(2, torch.rand(1, 2, 5), mask=torch.tensor([[True] * 4 + [False]]))
    model = PublishedPointLSM(
        1, 1, Points(2), hidden_channels=8, n_modes=(4, 4), latent_shape=(16, 16), patch=(1, 1)
    )
    with pytest.raises(ValueError, match="clouds without padding"):
        model(torch.ones(1, 1, 5), cloud)
    with pytest.raises(ValueError, match=r"takes 42 parameters per sample; got 3\. Build"):
        model(torch.ones(1, 1, 5), Points(2, torch.rand(2, 5)), torch.ones(1, 3))


def test_modes_come_back_right_except_in_the_published_form(generator):
    """A real field of the kept modes on a grid of points: to modes and back."""
    numbers = wavenumbers((24, 24))
    axis = torch.arange(48, dtype=torch.float64) / 48
    x = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)[None]
    f = torch.randn(1, 1, 24, 12, 2, generator=generator, dtype=torch.float64)
    f[:, :, 12] = 0  # the first wavenumber -12 has no partner
    f = torch.view_as_complex(f)
    u = to_points(f * hermitian_weights(12, f), x, numbers)
    back = to_modes(u, x, numbers) / u.shape[-1]
    right = to_points(back * hermitian_weights(12, f), x, numbers)
    published = to_points_off_by_one(back, x, numbers)
    assert (right - u).norm() <= 1e-12 * u.norm()
    assert (published - u).norm() / u.norm() == pytest.approx(0.66, abs=0.06)


def test_gradient_between_kinks(generator):
    """A step of 1e-8 crosses few kinks of relu and of the maximum."""
    torch.manual_seed(0)
    model = PublishedLSM(2, 1, Grid((41, 41)), variant="elasticity_grid", hidden_channels=8)
    model.double()
    x, dx = torch.randn(2, 1, 2, 41, 41, generator=generator, dtype=torch.float64)
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def loss(t):
        return model(x + t * dx).square().mean()

    (slope,) = torch.autograd.grad(loss(t), t)
    h = torch.tensor(1e-8).double()
    difference = (loss(h) - loss(-h)) / (2 * h)
    assert difference.item() == pytest.approx(slope.item(), rel=1e-3)
