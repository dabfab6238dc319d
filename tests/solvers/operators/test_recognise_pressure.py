"""Pressure systems of a flow solver: walls by ghost rows, corners empty."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.solvers import Multigrid, cg, recognise


def apart(a, b):
    return abs(a - b).max() / abs(b).max()


@pytest.mark.parametrize(
    ("name", "shape", "ghosts", "empty"),
    [
        ("A_Sparse_N63", (64, 64), 248, 4),
        ("A_Sparse_3D_N15", (16, 16, 16), 1176, 176),
        ("A_Sparse_3D_N63", (64, 64, 64), 23064, 752),
    ],
)
def test_pressure_systems_with_ghost_rows(name, shape, ghosts, empty, shared_data, generator):
    A = sp.load_npz(shared_data / "dcdm" / f"{name}.npz")
    found = recognise(A)
    assert found.operator.grid.shape == shape
    assert apart(found.operator.to_csr(), sp.csr_array(A)) == 0
    assert int(found.ghosts.sum()) == ghosts
    assert int((found.operator.regions.labels < 0).sum()) == empty
    assert found.operator.regions.num_floating == 1
    assert found.coupling == 1
    assert found.box == ((1, shape[0] - 2),) * len(shape)

    # Without the ghosts it is the unit-spacing Neumann Laplacian of the cells.
    b = found.operator.project(torch.randn(shape, generator=generator, dtype=torch.float64))
    rhs = found.inner.project(found.reduce(b))
    assert (rhs - found.reduce(b)).abs().max() < 1e-10
    inner = cg(found.inner, rhs, M=Multigrid(found.inner), rtol=1e-11)
    assert inner.converged
    assert inner.iterations <= 25
    x = found.extend(inner.x, b)
    assert np.linalg.norm(A @ x.numpy().ravel() - b.numpy().ravel()) < 1e-9 * b.norm()

    # Or as it is, ghosts and all.
    whole = cg(found.operator, b, M=Multigrid(found.operator), rtol=1e-8)
    assert whole.converged
    assert whole.iterations <= 25
