"""Learned corrections of IC(0): IC(0) untrained, valid in CG for any weights and after a shift."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.datasets.systems.matrices import KINDS
from pdeops.models import GraphIncompleteFactor
from pdeops.solvers import IncompleteCholesky, Matrix


def operator(A):
    return Matrix(A, symmetric=True, positive_definite=True)


def build(*, awake=True):
    torch.manual_seed(0)
    model = GraphIncompleteFactor(1, hidden_channels=4)
    if awake:
        for head in (model.network.edge_head, model.network.node_head):
            torch.nn.init.normal_(head.weight)
            torch.nn.init.normal_(head.bias)
    return model


def dense(M, n):
    return M.apply(torch.eye(n, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["triangles_jumps", "elasticity"])
def test_untrained_it_is_incomplete_cholesky_and_trained_its_dense_twin(kind):
    A = KINDS[kind](90, np.random.default_rng(1))
    n = A.shape[0]
    classical = dense(IncompleteCholesky(operator(A)), n)
    assert torch.equal(dense(build(awake=False).on(operator(A)), n), classical)
    model = build()
    M = dense(model.on(operator(A)), n)
    assert (M - M.T).abs().max() < 1e-12 * M.abs().max()
    assert torch.linalg.eigvalsh((M + M.T) / 2)[0] > 0
    assert (M - classical).norm() > 0.1 * classical.norm()
    coo = sp.coo_array(A)
    places = [torch.from_numpy(i.astype(np.int64))[None] for i in coo.coords]
    at = model.at([*places, torch.from_numpy(coo.data)[None]])
    with torch.no_grad():
        twin = torch.stack([at(e[None, None])[0, 0] for e in torch.eye(n).double()])
    torch.testing.assert_close(M, twin, rtol=1e-4, atol=1e-6 * M.abs().max().item())


def test_a_breakdown_is_shifted():
    """Kershaw's matrix (1978) is positive definite, and a pivot of IC(0) is -5."""
    A = sp.csr_array([[3.0, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3]])
    M = build().on(operator(A))
    assert M.shift > 0
    assert torch.linalg.eigvalsh(dense(M, 4))[0] > 0


def test_factors_of_another_pattern_are_refused():
    A = operator(KINDS["graph"](30, np.random.default_rng(0)))
    M = IncompleteCholesky(A)
    with pytest.raises(ValueError, match="pattern of U"):
        M.times(sp.csr_array(sp.eye_array(30)))
    with pytest.raises(ValueError, match="positive"):
        M.times(-M.upper())
