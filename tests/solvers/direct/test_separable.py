"""Fast diagonalisation: every pair of ends against the assembled matrix."""

from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Laplacian, recognise
from pdeops.solvers.direct.separable import Axis, End, SeparableInverse

ENDS = [*product([e for e in End if e is not End.PERIODIC], repeat=2), (End.PERIODIC, End.PERIODIC)]
DIAGONAL = {End.NODE: 2.0, End.HALF: 3.0, End.WALL: 1.0, End.MIRROR: 1.0, End.PERIODIC: 2.0}


def second_difference(n, c, ends):
    """T and S of an axis, written out from what the ends mean."""
    T = sp.diags_array([-c, 2 * c, -c], offsets=[-1, 0, 1], shape=(n, n)).tolil()
    s = np.ones(n)
    for where, end in zip((0, n - 1), ends, strict=True):
        T[where, where] = c * DIAGONAL[end]
        s[where] = 0.5 if end is End.MIRROR else 1.0
    if ends[0] is End.PERIODIC:
        T[0, n - 1] = T[n - 1, 0] = -c
    return T.tocsr(), sp.diags_array(s)


def assembled(axes, reaction):
    parts = [second_difference(*axis) for axis in axes]
    total = reaction * _kron([S for _, S in parts])
    for k in range(len(parts)):
        total = total + _kron([T if j == k else S for j, (T, S) in enumerate(parts)])
    return sp.csr_array(total)


def _kron(parts):
    result = sp.eye_array(1)
    for part in parts:
        result = sp.kron(result, part)
    return result


@pytest.mark.parametrize("ends", ENDS, ids=lambda e: f"{e[0].name}-{e[1].name}")
@pytest.mark.parametrize("n", [3, 8, 9])
def test_eigenvalues_are_those_of_the_matrix(ends, n):
    T, S = second_difference(n, 1.7, ends)
    s = S.diagonal()
    exact = np.linalg.eigvalsh(T.toarray() / np.sqrt(np.outer(s, s)))
    found = np.sort(Axis(n, 1.7, ends).eigenvalues())
    np.testing.assert_allclose(found, exact, atol=1e-13)


@pytest.mark.parametrize("reaction", [0.0, 0.3])
@pytest.mark.parametrize("ends", ENDS, ids=lambda e: f"{e[0].name}-{e[1].name}")
@pytest.mark.parametrize("other", [(End.NODE, End.WALL), (End.MIRROR, End.HALF), ENDS[-1]])
def test_recognised_matrices_are_inverted(ends, other, reaction, generator):
    """Different couplings per axis, so that a node in a corner has a sum that no side shows."""
    A = assembled([(9, 1.5, ends), (6, 0.7, other)], reaction)
    found = recognise(A)
    assert found.operator is not None, found.reason
    M = SeparableInverse.of(found.operator)
    assert isinstance(M, SeparableInverse), M
    x = found.operator.project(torch.randn(3, 9, 6, generator=generator, dtype=torch.float64))
    b = torch.from_numpy((A @ x.reshape(3, -1).numpy().T).T.copy()).reshape(x.shape)
    assert (M @ b - x).abs().max() <= 1e-12 * x.abs().max()


def test_three_axes(generator):
    axes = [(5, 1.0, (End.NODE, End.NODE)), (4, 2.0, ENDS[-1]), (6, 0.5, (End.WALL, End.NODE))]
    A = assembled(axes, 0.0)
    M = SeparableInverse.of(recognise(A).operator)
    x = torch.randn(5, 4, 6, generator=generator, dtype=torch.float64)
    b = torch.from_numpy(A @ x.flatten().numpy()).reshape(x.shape)
    assert (M @ b - x).abs().max() <= 1e-12


def test_second_order():
    """-Δu = f with u = sin(πx) cos(πy), no flux at y = 0 and 1."""
    errors = []
    for n in (16, 32, 64):
        x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        u = torch.outer(torch.sin(torch.pi * x), torch.cos(torch.pi * x))
        axes = [(n, float(n) ** 2, (end, end)) for end in (End.HALF, End.WALL)]
        M = SeparableInverse.of(recognise(assembled(axes, 0.0)).operator)
        errors.append((M @ (2 * torch.pi**2 * u) - u).abs().max().item())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert orders == pytest.approx([2.0, 2.0], abs=0.05)


@pytest.mark.parametrize("spoil", ["coupling", "diagonal", "side", "hole"])
def test_what_is_not_separable_is_refused(spoil):
    """One entry of the matrix is enough."""
    A = Laplacian(Grid((12, 11))).to_csr().tolil()
    n = A.shape[0]
    if spoil == "coupling":
        A[40, 41] = A[41, 40] = 1.01 * A[40, 41]
        A[40, 40] *= 1.01
        A[41, 41] *= 1.01
    elif spoil == "diagonal":
        A[45, 45] *= 1 + 1e-9
    elif spoil == "side":
        A[0, 0] *= 1.5
    else:
        for j in range(n):
            A[45, j] = A[j, 45] = 0
    found = recognise(A.tocsr())
    assert found.operator is not None, found.reason
    assert isinstance(SeparableInverse.of(found.operator), str)


def test_what_is_no_diffusion_is_refused():
    assert "grid" in SeparableInverse.of(None)
    k = torch.rand(9, 9, dtype=torch.float64) + 1
    assert "not constant" in SeparableInverse.of(Diffusion(k, Grid((9, 9))))


@pytest.mark.parametrize("axis", [-1, -2])
def test_the_sine_transform_of_small_fields_is_that_of_scipy(axis, monkeypatch):
    from pdeops.solvers.direct import separable

    u = np.random.default_rng(0).standard_normal((2, 7, 6))
    one = Axis(u.shape[axis], 1.0, (End.NODE, End.NODE))
    small = one.forward(u, axis, 1)
    assert one.backward(small, axis, 1) == pytest.approx(u, abs=1e-14)
    monkeypatch.setattr(separable, "SMALL", 0)
    large = one.forward(u, axis, 1)
    assert small == pytest.approx(large, abs=1e-13)
    assert one.backward(large, axis, 1) == pytest.approx(u, abs=1e-14)
