"""Coefficients for the solvers' tests; tests run as a user's call would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pdeops.solvers import Multigrid, cg


@pytest.fixture
def piecewise():
    """piecewise(grid, low, high): blobs of two values, the same function on every grid."""

    def make(grid, low=3.0, high=12.0, seed=0):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, 1, *[12] * grid.ndim, generator=generator, dtype=torch.float64)
        mode = "bicubic" if grid.ndim == 2 else "trilinear"
        smooth = F.interpolate(noise, size=grid.shape, mode=mode, align_corners=True)[0, 0]
        return torch.where(smooth > 0, high, low).double()

    return make


FOLDER = Path(__file__).parent
TYPES = [FOLDER / "test_bad_input.py", FOLDER / "evolution" / "test_bad_input_in_time.py"]


@pytest.fixture(scope="session")
def passed_without_type_checks():
    """passed_without_type_checks(file, name): how many tests of a file whose names contain this
    pass in a process that does not check every signature, as a user sees them; all must pass."""
    command = [sys.executable, "-m", "pytest", "-vv", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-k", "test_cell or test_refused", *map(str, TYPES)],
        env={**os.environ, "JAXTYPING_DISABLE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if " PASSED" in line]
    return lambda file, name: sum(f"{Path(file).name}::{name}" in line for line in lines)


@pytest.fixture
def steps(generator):
    """How many iterations of CG to 1e-8 it takes with a cycle of these keywords."""

    def count(A, **cycle):
        b = A.project(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
        result = cg(A, b, M=Multigrid(A, **cycle), rtol=1e-8, max_iterations=300)
        assert result.converged
        return result.iterations

    return count
