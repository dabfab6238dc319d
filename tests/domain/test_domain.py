"""The protocol that all domains share, and the shapes of fields on them."""

import pytest
import torch

from pdeops.domain import (
    DOMAINS,
    Domain,
    Grid,
    Points,
    Sphere,
    check_alike,
    check_kind,
    domain_from_dict,
    fold_time,
)

EXAMPLES = {
    "box": Grid((4, 5)),
    "sphere": Sphere((4, 5)),
    "points": Points(2, torch.rand(2, 5, dtype=torch.float64)),
}
every_domain = pytest.mark.parametrize("domain", EXAMPLES.values(), ids=EXAMPLES)


def test_every_kind_has_an_example():
    assert {kind: type(domain) for kind, domain in EXAMPLES.items()} == DOMAINS


def test_the_kinds_are_siblings():
    for cls in DOMAINS.values():
        assert not any(issubclass(cls, other) for other in DOMAINS.values() if other is not cls)


@every_domain
def test_each_is_a_domain(domain):
    assert isinstance(domain, Domain)
    assert len(domain.axes) == domain.ndim == len(domain.shape)
    assert domain.quadrature().sum().item() == pytest.approx(domain.volume, rel=1e-13)
    assert domain.mean_weights().sum().item() == pytest.approx(1, rel=1e-13)
    assert domain.nodes().shape[-domain.ndim :] == domain.shape
    assert domain_from_dict(domain.to_dict()) == domain
    assert domain.to_dict()["kind"] == domain.kind == domain.region["kind"]
    domain.check(torch.zeros(3, 2, *domain.shape))


@every_domain
def test_resolution_is_no_part_of_the_region(domain):
    if hasattr(domain, "with_shape"):
        assert domain.with_shape((8, 9)).region == domain.region
        assert domain.refined(3).region == domain.region
    assert domain.region not in [other.region for other in EXAMPLES.values() if other != domain]


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(
        ValueError, match=r"box, sphere, points; got 'spere'.*Did you mean 'sphere'"
    ):
        domain_from_dict({"kind": "spere"})


@every_domain
def test_times_are_folded_into_channels_in_their_order(domain):
    u = torch.arange(2 * 3 * 4 * domain.num_nodes).reshape(2, 3, 4, *domain.shape)
    v = fold_time(u, domain)
    assert v.shape == (2, 12, *domain.shape)
    for t in range(3):
        for c in range(4):
            assert torch.equal(v[:, 4 * t + c], u[:, t, c])
    assert fold_time(v, domain) is v
    for wrong in (u[0, 0, 0], u[0, 0], u[None]):
        with pytest.raises(ValueError, match=r"\(batch, channel, .*or \(batch, time, channel, "):
            fold_time(wrong, domain)


def test_shapes_are_not_broadcast():
    with pytest.raises(ValueError, match=r"one shape; got \(4, 1\) and \(1, 1\)"):
        check_alike(torch.zeros(4, 1), torch.zeros(1, 1))


def test_a_wrong_kind_is_named_with_the_right_one():
    check_kind(Grid((4, 5)), (Sphere, Grid), "This")
    with pytest.raises(
        ValueError,
        match=r"This needs a domain of type Sphere \(sphere\) or Points \(points\); got Grid "
        r"\(4 x 5 nodes, .*\)\. Do that\.",
    ):
        check_kind(Grid((4, 5)), (Sphere, Points), "This", "Do that.")


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"kind": "points"}, r"kind 'points' needs num_coordinates; got kind"),
        ({"kind": "box", "shape": [4, 4]}, "needs extent, boundary, placement"),
        ({"kind": "sphere", "shape": [4, 8], "radius": 1.0}, "needs latitudes"),
        (
            {"kind": "points", "num_coordinates": 2, "weight": [1.0]},
            r"Unknown key 'weight'.*'points'.*Did you mean 'weights'",
        ),
        ({**Grid((4, 4)).to_dict(), "extend": [1, 1]}, "Did you mean 'extent'"),
        ({**Sphere((4, 8)).to_dict(), "radus": 2.0}, "Did you mean 'radius'"),
        ({"kind": "boxx"}, "Did you mean 'box'"),
    ],
)
def test_descriptions_that_are_none_are_refused(plain, message):
    with pytest.raises(ValueError, match=message):
        domain_from_dict(plain)
