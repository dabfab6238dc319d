"""A small file of each problem, generated once per test process."""

import pytest

from pdeops.datasets import Darcy, Poisson, generate
from pdeops.domain import Grid


@pytest.fixture(scope="session")
def darcy_file(tmp_path_factory):
    """12 Darcy samples on 17 x 17 nodes."""
    out = tmp_path_factory.mktemp("darcy") / "darcy17.h5"
    generate(Darcy(num_modes=16), Grid((17, 17)), num_samples=12, seed=1, out=out)
    return out


@pytest.fixture(scope="session")
def poisson_file(tmp_path_factory):
    """5 Poisson samples on a box of 17 x 9 nodes, in float64."""
    out = tmp_path_factory.mktemp("poisson") / "poisson.h5"
    problem, grid = Poisson(num_modes=16), Grid((17, 9), extent=(1.0, 0.5))
    generate(problem, grid, num_samples=5, seed=2, out=out, dtype="float64")
    return out
