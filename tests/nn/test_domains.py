"""A model is built on the domains that it declares, and no others."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from pdeops.domain import Grid, Points, Sphere
from pdeops.models import MODELS
from pdeops.nn.domains import check_domain, models_on
from pdeops.nn.interpolation import interpolate
from pdeops.nn.symmetry import SymmetricAverage, isometries

BOXES = ["FNO", "MgNO", "PublishedMgNO", "LSM", "PublishedLSM", "Transolver"]
BOXES += ["NeuralopFNO", "NeuralopTFNO", "NeuralopUNO", "SpatiotemporalFNO"]
SPHERES = ["NeuralopSFNO", "SpatiotemporalFNO"]
CLOUDS = ["PointLSM", "PublishedPointLSM", "Transolver"]
DOMAINS = {"box": Grid((32, 32)), "sphere": Sphere((17, 32)), "points": Points(2)}


def test_every_model_declares_its_domains():
    assert all("domains" in dir(cls) for cls in MODELS.values())
    assert models_on(DOMAINS["box"]) == BOXES
    assert models_on(DOMAINS["sphere"]) == SPHERES
    assert models_on(DOMAINS["points"]) == CLOUDS


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", DOMAINS)
def test_the_error_names_model_domains_and_models_that_fit(name, kind):
    domain = DOMAINS[kind]
    fitting = models_on(domain)
    if name in fitting:
        check_domain(MODELS[name], domain)
        return
    needed = "Grid" if name in BOXES else "Points" if name in CLOUDS else "Sphere"
    with pytest.raises(ValueError, match=f"{name} needs a domain of type {needed} ") as caught:
        check_domain(MODELS[name], domain)
    message = str(caught.value)
    assert f"got {type(domain).__name__} ({domain})" in message
    assert (", ".join(fitting) if fitting else "No model takes that") in message


def test_constructors_check_too(tmp_path):
    """In a process without checks of types, which would be the first to see."""
    code = """
import json
from pdeops.domain import Points, Sphere
from pdeops.models import MODELS
messages = {}
for name, cls in MODELS.items():
    try:
        sphere = name not in ("NeuralopSFNO", "SpatiotemporalFNO")
        cls(1, 1, Sphere((17, 32)) if sphere else Points(2))
    except ValueError as error:
        messages[name] = str(error)
print(json.dumps(messages))
"""
    environment = {**os.environ, "JAXTYPING_DISABLE": "1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    messages = json.loads(done.stdout)
    assert sorted(messages) == sorted(MODELS)
    for name in MODELS:
        fitting = "PointLSM" if name in SPHERES else "NeuralopSFNO"
        assert messages[name].startswith(f"{name} needs a domain of type")
        assert f"Models for that: {fitting}" in messages[name]


def test_a_model_that_declares_nothing_is_taken_at_its_word():
    check_domain(nn.Identity, DOMAINS["sphere"])


def test_parts_for_boxes_refuse_other_domains():
    """`interpolate` is called without the checks of types, which would be the first to see."""
    sphere = DOMAINS["sphere"]
    with pytest.raises(ValueError, match=r"polynomials.*needs.*Grid.*calculus_of\(sphere\)"):
        interpolate.__wrapped__(torch.zeros(1, 1, 17, 32), sphere, sphere, points=2)
    for symmetric in (isometries, lambda sphere: SymmetricAverage(nn.Identity(), sphere)):
        with pytest.raises(ValueError, match=r"symmetries of a box.*average_symmetries to false"):
            symmetric(sphere)
