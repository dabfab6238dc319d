"""What a spec says of its fields: axes, shapes, channels, times; and what it refuses."""

import re

import pytest
import torch

from pdeops.datasets import DatasetSpec, Field
from pdeops.domain import Grid, Sphere

VELOCITY = Field("velocity", "state", "velocity", "m/s", ("u", "v"))
PRESSURE = Field("pressure", "state", "pressure", "Pa")
FORCE = Field("force", "input", "force", "N", ("x", "y"))
STEADY = (Field("a", "input", "a"), Field("b", "target", "b"))


def spec_of(*fields, times=(), domain=None, **more):
    return DatasetSpec(
        "flow", "test", "none", fields, domain or Grid((5, 4)), {}, None, 3, times=times, **more
    )


def test_a_variable_has_the_axes_of_its_field():
    spec = spec_of(VELOCITY, PRESSURE, times=(0.0, 0.5), domain=Sphere((5, 4)))
    space = ("latitude", "longitude")
    assert spec.dims(VELOCITY) == ("sample", "time", "channel", *space)
    assert spec.shape(VELOCITY) == (3, 2, 2, 5, 4)
    assert (spec.dims(PRESSURE), spec.shape(PRESSURE)) == (("sample", "time", *space), (3, 2, 5, 4))
    assert VELOCITY.channel_names == ("velocity_u", "velocity_v")
    assert PRESSURE.channel_names == ("pressure",)


def test_fields_with_other_components_have_dimensions_of_their_own():
    spec = spec_of(VELOCITY, FORCE, times=(0.0, 0.5))
    assert spec.dims(VELOCITY)[2] == "velocity_channel"
    assert spec.dims(FORCE)[1] == "force_channel"
    alike = Field("force", "input", "force", channels=("u", "v"))
    assert spec_of(VELOCITY, alike, times=(0.0, 0.5)).dims(alike)[1] == "channel"


def test_channels_are_cut_into_fields():
    spec = spec_of(VELOCITY, PRESSURE, times=(0.0, 0.5))
    u = torch.randn(3, 2, 3, 5, 4)
    parts = spec.by_field("state", u)
    assert torch.equal(parts["velocity"], u[:, :, :2])
    assert torch.equal(parts["pressure"], u[:, :, 2])
    assert torch.equal(spec.by_field("state", u[0, 0])["pressure"], u[0, 0, 2])
    with pytest.raises(
        ValueError, match=re.escape("have 3 channel(s), (..., 3, x, y); got (3, 2, 2")
    ):
        spec.by_field("state", u[:, :, :2])


def test_json_leads_back_to_the_spec():
    for spec in (spec_of(*STEADY), spec_of(VELOCITY, FORCE, times=(0.0, 0.5), time_units="s")):
        assert DatasetSpec.from_json(spec.to_json()) == spec
        assert spec.difference(DatasetSpec.from_json(spec.to_json())) == []
    late = Field("b", "target", "b", evolves=True)
    spec = spec_of(STEADY[0], late, times=(1.0, 2.0))
    assert DatasetSpec.from_json(spec.to_json()) == spec
    assert spec.shape(late) == (3, 2, 5, 4)


def test_times_are_part_of_the_difference():
    here, there = (spec_of(PRESSURE, times=(0.0, t)) for t in (0.5, 0.25))
    assert here.difference(there) == ["times: [0.0, 0.5] here, [0.0, 0.25] there"]


@pytest.mark.parametrize(
    ("fields", "times", "message"),
    [
        ((PRESSURE,), (), "'pressure' has the axis time, but there are no times. Give times="),
        (
            (PRESSURE,),
            (0.0, 0.2, 0.1),
            "must increase; got 0.2 and then 0.1 at frames 1 and 2 of 3",
        ),
        ((PRESSURE,), (0.0, 0.0), "must increase"),
        ((PRESSURE,), (0.0, float("nan")), "finite numbers; got nan"),
        (STEADY, (0.0, 1.0), "No field has the axis time, but there are 2 times"),
        ((PRESSURE, STEADY[1]), (0.0, 1.0), "other fields must be inputs.*got b. Store b in"),
        (
            (PRESSURE, Field("f", "input", "f", evolves=True)),
            (0.0, 1.0),
            "inputs without a time axis; got f",
        ),
        ((STEADY[0], STEADY[0]), (), "Two fields or channels are called 'a'"),
        ((VELOCITY, Field("velocity_u", "input", "u")), (0.0, 1.0), "are called 'velocity_u'"),
    ],
)
def test_what_does_not_fit_is_refused(fields, times, message):
    with pytest.raises(ValueError, match=message):
        spec_of(*fields, times=times)


def test_a_field_of_an_unknown_role_or_with_a_component_twice_is_refused():
    with pytest.raises(ValueError, match=r"role of .*state.*got 'output'"):
        Field("u", "output", "u")
    with pytest.raises(ValueError, match=r"need different names; got \('u', 'u'\)"):
        Field("u", "state", "u", channels=("u", "u"))
