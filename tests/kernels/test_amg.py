"""The cycle of algebraic multigrid against its plain twin, and the graph's distances."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.kernels import amg
from pdeops.kernels.amg import cpu, layout, reference
from pdeops.kernels.runtime.threads import one_thread


def hierarchy(blocks, dtype, monkeypatch):
    """Random definite matrices of three levels, with couplings of either sign across the blocks."""
    monkeypatch.setattr(layout, "WIDE", 1 if blocks > 1 else 1 << 30)
    random = np.random.default_rng(0)
    sizes = (61, 23, 9)
    P = [sp.random_array(shape, density=0.3, rng=random, format="csr") for shape in pairwise(sizes)]
    C = sp.random_array((61, 61), density=0.08, rng=random, format="csr")
    A = sp.csr_array(C @ C.T + 0.1 * sp.eye_array(61))
    levels, finest = [], A
    for p in P:
        csr, P = amg.arrays_of(A), amg.arrays_of(p)
        levels.append(amg.level(csr, P, amg.transposed(P, p.shape[1]), dtype))
        A = sp.csr_array(p.T @ A @ p + 1e-3 * sp.eye_array(p.shape[1]))
    return finest, levels, np.linalg.inv(A.toarray()).astype(dtype)


def as_matrix(cycle, dtype):
    M = np.empty((61, 61), dtype)
    for column, unit in zip(M.T, np.eye(61, dtype=dtype), strict=True):
        x = np.empty(61, dtype)
        cycle.run(unit, x)
        column[:] = x
    return M


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("blocks", [1, layout.BLOCKS])
def test_the_cycle_equals_its_twin_and_is_symmetric_positive_definite(blocks, dtype, monkeypatch):
    A, levels, coarse = hierarchy(blocks, dtype, monkeypatch)
    assert levels[0].blocks == blocks
    M, twin = (as_matrix(form.bind(levels, coarse), dtype) for form in (amg, reference))
    round_off = {"float64": 1e-11, "float32": 1e-3}[dtype]
    np.testing.assert_allclose(M, twin, atol=round_off * np.abs(twin).max())
    if dtype == "float64":
        np.testing.assert_allclose(M, M.T, atol=round_off * np.abs(M).max())
        assert np.linalg.eigvalsh((M + M.T) / 2)[0] > 0
        # B + Bᵀ - A > 0, for which the blocks need their weights.
        B = reference.smoother(levels[0]).toarray()
        assert np.linalg.eigvalsh(B + B.T - A.toarray())[0] > 0


def test_threads_change_no_bit(monkeypatch):
    _, levels, coarse = hierarchy(2, "float32", monkeypatch)
    cycle = amg.bind(levels, coarse)
    b = np.random.default_rng(1).standard_normal(61).astype("float32")
    x, y = np.empty_like(b), np.empty_like(b)
    calls = []
    divided = cpu.side_by_side
    monkeypatch.setattr(cpu, "side_by_side", lambda tasks: calls.append(tasks) or divided(tasks))
    torch.set_num_threads(2)
    cycle.run(b, x)
    assert len(calls) == 5 * len(levels)  # five loops of each level
    with one_thread():
        cycle.run(b, y)
    assert len(calls) == 5 * len(levels)
    assert (x == y).all()


@pytest.mark.parametrize("form", [amg, reference], ids=["loops", "twin"])
def test_distances_in_a_graph(form):
    """Those of scipy's shortest paths; rows that cannot be reached are left out."""
    from scipy.sparse.csgraph import shortest_path

    A = sp.random_array((80, 80), density=0.02, rng=np.random.default_rng(0))
    A = sp.csr_array(A + A.T)
    exact = shortest_path(A, unweighted=True, indices=3)
    rows, counts = form.within(amg.arrays_of(A), 3)
    assert sorted(rows) == np.flatnonzero(np.isfinite(exact)).tolist()
    assert len(rows) < 80
    assert (np.diff(exact[rows]) >= 0).all()
    assert counts.tolist() == [(exact <= r).sum() for r in range(len(counts))]
    assert counts[-1] == len(rows) > counts[-2]
