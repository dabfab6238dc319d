"""The published network: its sizes, its weights, and what they reach."""

import json
import shutil

import pytest
import scipy.sparse
import torch

from pdeops.domain import Grid
from pdeops.models.corrections.deep_conjugate_published import PublishedDeepConjugate, load_keras
from pdeops.solvers import Matrix, deep_conjugate_direction, flexible_cg

SMALL = {"channels": 16, "convolutions": 2}


@pytest.mark.parametrize(
    ("ndim", "arguments", "parameters"),
    [
        (2, {}, 453_505),
        (3, {**SMALL, "blocks": 1, "coarse_blocks": 3, "blocks_after": 2}, 97_457),
        (3, {**SMALL, "blocks": 2, "coarse_blocks": 5, "blocks_after": 3}, 152_881),
    ],
)
def test_has_as_many_parameters_as_published(ndim, arguments, parameters):
    model = PublishedDeepConjugate(ndim, **arguments)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_sees_no_farther_than_its_convolutions(generator):
    """A coarse level doubles the reach of each of its convolutions."""
    arguments = {"channels": 4, "convolutions": 2, "blocks": 1}
    r = torch.zeros(2, 1, 65, 33)
    r[1, 0, 32, 16] = 1
    reach = []
    for coarse in (0, 3):
        f = PublishedDeepConjugate(2, coarse_blocks=coarse, **arguments).double()
        for p in f.parameters():
            p.detach().abs_()  # so that every ReLU is open
        change = (f(r.double())[1] - f(r.double())[0]).abs()
        reach.append((change[0].nonzero() - torch.tensor([32, 16])).abs().max().item())
    assert reach[0] == 4  # two before the block, two in it
    assert 4 + 2 * 6 - 2 <= reach[1] <= 5 + 2 * 6 + 2
    assert f(r.double()).shape == r.shape


@pytest.fixture
def trained(shared_data):
    folder = shared_data / "dcdm"
    return load_keras(folder / "MLV22.h5", folder / "MLV22.json")


@pytest.fixture
def system(shared_data):
    matrix = scipy.sparse.load_npz(shared_data / "dcdm" / "A_Sparse_N63.npz")
    return Matrix(matrix, Grid((64, 64), boundary="neumann", placement="centers"))


def test_published_weights_reach_the_published_counts(trained, system, generator):
    """5/8/10/13 iterations to 1e-4/1e-6/1e-8/1e-10, where CG takes up to 300."""
    b = system @ torch.randn(64, 64, generator=generator, dtype=torch.float64)
    result = deep_conjugate_direction(system, b, trained, rtol=1e-10)
    assert result.converged
    counts = [next(i for i, r in enumerate(result.residuals) if r <= 10.0**-k) for k in (4, 6, 8)]
    counts.append(result.iterations)
    assert all(abs(i - j) <= 1 for i, j in zip(counts, (5, 8, 10, 13), strict=True)), counts


def test_flexible_cg_takes_the_network_and_more_iterations(trained, system, generator):
    """The network is no linear map: one previous direction is too few (11 against 10)."""
    b = system @ torch.randn(64, 64, generator=generator, dtype=torch.float64)

    def correction(r):
        with torch.no_grad():
            return -system.project(trained((r / r.norm()).float()[None, None])[0, 0].double())

    flexible = flexible_cg(system, b, M=correction, rtol=1e-8)
    conjugate = deep_conjugate_direction(system, b, trained, rtol=1e-8)
    assert flexible.converged
    assert flexible.iterations > conjugate.iterations


def test_published_weights_learned_minus_the_inverse_and_a_constant(trained, system, generator):
    r = system @ torch.randn(64, 64, generator=generator, dtype=torch.float64)
    z = trained((r / r.norm()).float()[None, None])[0, 0].detach().double()
    inside = system.project(z)
    assert inside.norm() < 0.1 * z.norm()
    assert (inside * r).sum() < 0


def test_published_weights_reach_round_off(trained, system, generator):
    b = system @ torch.randn(64, 64, generator=generator, dtype=torch.float64)
    result = deep_conjugate_direction(system, b, trained, rtol=1e-14)
    assert (b - system @ result.x).norm() <= 1e-14 * b.norm()


def test_another_graph_is_refused(shared_data, tmp_path):
    folder = shared_data / "dcdm"
    graph = json.loads((folder / "MLV22.json").read_text())
    layers = graph["config"]["layers"]
    layers[7]["config"]["activation"] = "tanh"
    (tmp_path / "other.json").write_text(json.dumps(graph))
    with pytest.raises(ValueError, match="none of the published residual stacks"):
        load_keras(folder / "MLV22.h5", tmp_path / "other.json")
    layers[7]["config"]["activation"] = "relu"
    layers[1]["config"]["filters"] = 16
    (tmp_path / "other.json").write_text(json.dumps(graph))
    shutil.copy(folder / "MLV22.h5", tmp_path)
    with pytest.raises(ValueError, match=r"\(32, 1, 3, 3\).*asks for \(16, 1, 3, 3\)"):
        load_keras(tmp_path / "MLV22.h5", tmp_path / "other.json")
