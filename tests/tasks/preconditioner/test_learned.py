"""Learned preconditioners: loaded for scipy's CG, and refused with a reason where they cannot be.

Stand-ins with few weights take the place of trained networks.
"""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import cg as scipy_cg
from torch import nn

import pdeops
from pdeops.domain import Grid
from pdeops.linop import Preconditioner
from pdeops.models import CORRECTIONS, DeepConjugate, PublishedDeepConjugate
from pdeops.solvers import Diffusion, Laplacian, Multigrid, cg
from pdeops.tasks.preconditioner import learned_preconditioner
from pdeops.training import checkpoint


class Scaled(Preconditioner):
    """A number times a cycle of multigrid."""

    def __init__(self, A, factor):
        self.grid, self.cycle, self.factor = A.grid, Multigrid(A), factor

    def apply(self, u):
        return self.factor * self.cycle.apply(u)


class LearnedCycle(nn.Module):
    """Symmetric and positive definite for any weight, as VCyclePreconditioner is."""

    def __init__(self, ndim, *, width=3):
        super().__init__()
        self.ndim, self.arguments = ndim, {"width": width}
        self.weight = nn.Parameter(torch.zeros(width))

    def on(self, A):
        return Scaled(A, self.weight.exp().sum().item())


class Stack(nn.Module):
    """A map of residuals, with or without an activation."""

    def __init__(self, ndim, *, activation=True):
        super().__init__()
        self.ndim, self.arguments = ndim, {"activation": activation}
        self.conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        self.activation = nn.ReLU() if activation else nn.Identity()

    def on(self, A):
        return lambda r: r + self.activation(self.conv(r.float()))


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """trained(Model, ndim, **arguments): the folder of a run of it."""
    for model in (LearnedCycle, Stack):
        monkeypatch.setitem(CORRECTIONS, model.__name__, model)

    def make(model, ndim=2, change=None, **arguments):
        network = model(ndim, **arguments)
        if change:
            change(network)
        described = {"name": model.__name__, "arguments": network.arguments}
        carry = {"task": "preconditioner", "model": described, "ndim": ndim}
        folder = tmp_path / f"{model.__name__}{ndim}"
        state = {"carry": carry, "model": network.state_dict()}
        checkpoint.save(folder / "checkpoints" / "best.pt", state)
        return folder

    return make


def test_scipys_cg_with_the_learned_m(trained, generator):
    run = trained(LearnedCycle, change=lambda net: nn.init.constant_(net.weight, 0.5))
    grid = Grid((66, 50))
    A = Diffusion(torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.1, grid)
    b = np.ones(A.shape[0])
    counts = []
    for M in (None, pdeops.load_preconditioner(run, A)):
        steps = []
        x, info = scipy_cg(A.to_scipy(), b, M=M, rtol=1e-8, callback=steps.append)
        assert info == 0
        assert np.linalg.norm(b - A.to_csr() @ x) < 2e-8 * np.linalg.norm(b)
        counts.append(len(steps))
    assert counts[1] < counts[0] / 5


def test_operator_matrix_and_checkpoint_give_the_same_m(trained, generator):
    run = trained(LearnedCycle)
    grid = Grid((18, 18))
    A = Diffusion(torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.1, grid)
    r = torch.randn(A.shape[0], generator=generator, dtype=torch.float64).numpy()
    z = pdeops.load_preconditioner(run, A) @ r
    from_file = pdeops.load_preconditioner(run / "checkpoints" / "best.pt", A)
    assert np.array_equal(from_file @ r, z)
    for matrix in (A.to_csr(), sp.csr_matrix(A.to_csr()), sp.coo_array(A.to_csr())):
        # At corners a matrix does not say which coupling to a known end belongs to which axis.
        again = pdeops.load_preconditioner(str(run), matrix) @ r
        np.testing.assert_allclose(again, z, atol=1e-2 * abs(z).max())
    on_fields = learned_preconditioner(run, A)
    assert np.array_equal((on_fields @ torch.from_numpy(r).reshape(A.grid.shape)).ravel(), z)
    assert cg(A, torch.from_numpy(r).reshape(A.grid.shape), M=on_fields).converged


def test_a_matrix_with_missing_nodes(trained, generator):
    """The rows of five nodes are deleted: M is symmetric on the others, and CG needs less than a
    fifth of its iterations; the rows of the grid are not those of the matrix."""
    run = trained(LearnedCycle, change=lambda net: nn.init.constant_(net.weight, 0.5))
    grid = Grid((66, 50))
    a = torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.1
    kept = np.delete(np.arange(64 * 48), [100, 101, 700, 1400, 2000])
    A = Diffusion(a, grid).to_csr()[kept][:, kept]
    M = pdeops.load_preconditioner(run, A)
    u, v = torch.randn(2, len(kept), generator=generator, dtype=torch.float64).numpy()
    assert (M @ u) @ v == pytest.approx(u @ (M @ v), rel=1e-10)
    counts = []
    for preconditioner in (None, M):
        steps = []
        _, info = scipy_cg(
            A, np.ones(len(kept)), M=preconditioner, rtol=1e-8, callback=steps.append
        )
        assert info == 0
        counts.append(len(steps))
    assert counts[1] < counts[0] / 5


def test_another_number_of_axes(trained):
    with pytest.raises(ValueError, match=r"trained for 3 axes; A has 2, 18 x 15 unknowns"):
        pdeops.load_preconditioner(trained(LearnedCycle, ndim=3), Laplacian(Grid((20, 17))))


def test_a_matrix_that_is_no_stencil(trained, generator):
    run = trained(LearnedCycle)
    random = np.random.default_rng(0).random((30, 30))
    with pytest.raises(
        ValueError, match=r"needs a stencil on a grid .* this matrix is not one: no grid"
    ):
        pdeops.load_preconditioner(run, sp.csr_array(random + random.T))
    A = Laplacian(Grid((20, 17))).to_csr()
    with pytest.raises(ValueError, match=r"not one: 9-point stencil .*, positive couplings"):
        pdeops.load_preconditioner(run, abs(A))
    with pytest.raises(ValueError, match="got ndarray"):
        pdeops.load_preconditioner(run, random)


def test_a_network_that_is_not_linear_is_refused_with_the_way_out(trained):
    with pytest.raises(
        ValueError, match=r"Stack, which cannot precondition plain CG.*not linear"
    ) as message:
        pdeops.load_preconditioner(trained(Stack), Laplacian(Grid((20, 17))))
    assert "deep_conjugate_direction" in str(message.value)


def test_a_network_that_is_linear_but_not_symmetric_is_refused_too(trained):
    with pytest.raises(ValueError, match="not symmetric"):
        pdeops.load_preconditioner(trained(Stack, activation=False), Laplacian(Grid((20, 17))))


def test_a_linear_network_that_passes_the_probe_is_taken(trained, generator):
    def symmetric(network):
        kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 0.0]]) / 8
        network.conv.weight.data.copy_(kernel)

    A = Laplacian(Grid((20, 17)))
    M = learned_preconditioner(trained(Stack, change=symmetric, activation=False), A)
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    assert cg(A, b, M=M, rtol=1e-5).converged


class Bomb:
    """Says so where it is unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html>", "not a checkpoint: expected a zip"),
        (b"", "not a checkpoint: expected a zip"),
        (pickle.dumps(Bomb()), "not a checkpoint: expected a zip"),
        ("bomb", "weights_only=True"),
        ("other", "lacks the mark"),
        ("half", "truncated"),
    ],
    ids=["html", "empty", "pickle", "pickle in a zip", "torch file", "truncated"],
)
def test_files_that_are_not_ours(content, reason, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "weights.pt"
    if content == "bomb":
        torch.save({"model": Bomb()}, file)
    elif content == "other":
        torch.save({"weight": torch.zeros(3)}, file)
    elif content == "half":
        whole = (trained(LearnedCycle) / "checkpoints" / "best.pt").read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    else:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        pdeops.load_preconditioner(file, Laplacian(Grid((9, 9))))
    assert not (tmp_path / "unpickled").exists()


def test_a_name_that_is_nothing(tmp_path):
    with pytest.raises(ValueError, match="There is no run 'vcyle'"):
        pdeops.load_preconditioner("vcyle", Laplacian(Grid((9, 9))))
    with pytest.raises(ValueError, match="no checkpoint"):
        pdeops.load_preconditioner(tmp_path, Laplacian(Grid((9, 9))))


@pytest.mark.parametrize(
    ("model", "why"), [(DeepConjugate, "not symmetric"), (PublishedDeepConjugate, "not linear")]
)
def test_networks_of_conjugate_directions_are_refused(model, why, trained):
    with pytest.raises(
        ValueError, match=f"{model.__name__}, which cannot precondition plain CG.*{why}"
    ):
        pdeops.load_preconditioner(trained(model), Laplacian(Grid((20, 17))))
