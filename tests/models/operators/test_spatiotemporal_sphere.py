"""ST-FNO on a sphere: rotations about the axis, resolutions, and the interface of refinement."""

import pytest
import torch

from pdeops.calculus.spherical import evaluate
from pdeops.domain import Grid, Sphere
from pdeops.models import SpatiotemporalFNO

SPHERE = Sphere((13, 24))
TIMES = {"times_in": [-0.2, -0.1, 0.0], "times_out": [0.1, 0.2, 0.3, 0.4]}


def build(sphere=SPHERE, **arguments):
    torch.manual_seed(0)
    arguments = {
        "n_modes": (8, 12),
        "hidden_channels": 5,
        "n_layers": 3,
        "mlp_channels": 7,
        **TIMES,
        **arguments,
    }
    return SpatiotemporalFNO(3, 3, sphere, **arguments).double()


def band_limited(sphere, degree=5):
    """Depth, vorticity and divergence of low degrees, the same functions on every grid."""
    generator = torch.Generator().manual_seed(1)
    shape = (1, 3, 3, degree + 1, degree + 1, 2)
    c = torch.view_as_complex(torch.randn(shape, generator=generator, dtype=torch.float64)).tril()
    c[..., 0].imag.zero_()
    return evaluate(c.flatten(0, 1), sphere).unflatten(0, (1, 3))


def test_commutes_with_rotations_about_the_axis(generator):
    """By any number of longitudes, whatever the weights are; a reflection of the latitudes changes
    the map."""
    model = build(spatial_bias=False)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    x = torch.randn(2, 3, 3, 13, 24, generator=generator, dtype=torch.float64)
    y = model(x)
    torch.testing.assert_close(model(x.roll(5, -1)), y.roll(5, -1), rtol=1e-10, atol=1e-11)
    assert (model(x.flip(-2)).flip(-2) - y).norm() > 1e-3 * y.norm()
    single = model.float()
    x = x.float()
    assert (single(x.roll(5, -1)) - single(x).roll(5, -1)).norm() < 1e-6 * y.norm()


def test_is_one_operator_on_all_grids():
    """The change w(t) - w(0) of a band-limited input has the same values at common nodes, and those
    of its own harmonics on others."""
    model = build()
    y = model(band_limited(SPHERE))
    for factor in (2, 3):
        z = model(band_limited(SPHERE.refined(factor)))
        common = z[..., ::factor, ::factor]
        torch.testing.assert_close(common, y, rtol=1e-9, atol=1e-10)
    assert (y - band_limited(SPHERE)[:, -1:]).norm() > 0.1


def test_a_pole_has_one_value_and_the_latitude_matters(generator):
    model = build()
    y = model(band_limited(SPHERE))
    for pole in (0, -1):
        assert (y[..., pole, :] - y[..., pole, :1]).abs().max() < 1e-11
    with torch.no_grad():
        model.position_weight.zero_()
    assert (model(band_limited(SPHERE)) - y).norm() > 1e-3 * y.norm()


def test_features_and_head_are_the_model_to_the_last_bit(generator):
    model = build(dropout=0.0)
    x = torch.randn(2, 3, 3, 13, 24, generator=generator, dtype=torch.float64)
    v = model.features(x)
    assert torch.equal(model.head(v, x), model(x))
    before = model.head(v, x)
    with torch.no_grad():
        for p in model.last_layer.parameters():
            p.mul_(2.0)
    change = model.head(v, x) - x[:, -1:]
    torch.testing.assert_close(change, 2 * (before - x[:, -1:]), rtol=1e-11, atol=1e-12)


def test_bad_spheres_are_refused():
    for arguments, message in (
        ({"n_modes": (13, 24)}, "exceed the 12 degrees"),
        ({"latent_shape": (7, 24)}, "exceed the 6 degrees"),
        ({"n_modes": (4, 12)}, "at most 2L"),
        ({"divergence_free": True}, "vorticity and divergence"),
    ):
        with pytest.raises(ValueError, match=message):
            build(**arguments)
    with pytest.raises(ValueError, match="SpatiotemporalFNO needs"):
        build(Grid((13, 24)))
