"""The trained networks inside the package: small, described, and as good as their cards say."""

import hashlib
from importlib import resources

import numpy
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from pdeops.datasets.problems.random_fields import GaussianField, sample_generator
from pdeops.datasets.systems.matrices import KINDS
from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.models import VCyclePreconditioner
from pdeops.solvers import (
    AggregationCycle,
    Diffusion,
    IncompleteCholesky,
    Matrix,
    cg,
    deep_conjugate_direction,
    read_vector,
    recognise,
)
from pdeops.solvers.multigrid.aggregation import chebyshev
from pdeops.tasks.preconditioner import load_correction, load_preconditioner
from pdeops.tasks.shipped import shipped_weights

PUBLISHED = {"work": 453_505, "counts": (5, 8, 10, 13)}  # multiply-adds per cell; to 1e-4 ... 1e-10
TOLERANCES = (1e-4, 1e-6, 1e-8, 1e-10)


def counts(result, scale=1.0):
    return [next(i for i, r in enumerate(result.residuals) if r <= t * scale) for t in TOLERANCES]


def poisson(fluid):
    grid = Grid(fluid.shape, [float(n) for n in fluid.shape], "neumann", "centers")
    return Diffusion(1.0, grid, fluid=fluid)


def walled(*shape):
    fluid = torch.zeros(shape, dtype=torch.bool)
    fluid[(slice(1, -1),) * len(shape)] = True
    return fluid


def discs(n, generator, number):
    """Walls of a kind that no training has: twelve discs, a tenth of the box across."""
    fluid = walled(n, n)
    where = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    for middle in torch.rand(number, 2, generator=generator) * n:
        fluid &= sum((x - c) ** 2 for x, c in zip(where, middle, strict=True)) > (0.06 * n) ** 2
    return fluid


def noise(A, generator):
    return A @ torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", shipped_weights())
def test_weights_are_small_and_have_a_card(name):
    folder = resources.files("pdeops.weights")
    assert len((folder / f"{name}.pt").read_bytes()) < 2 * 2**20
    card = (folder / f"{name}.md").read_text(encoding="utf-8")
    for part in ("Trained on", "Where it wins", "Where it loses"):
        assert part in card


# sha256 over names, types and bytes of the weights, sorted by name, as they were trained.
TRAINED = {
    "dcdm_poisson": "58efebb8192ebd6ec1475fb0ddc40980f1926e1da9f3f7e49c94ccf24d7ff914",
    "dcdm_poisson3d": "8b2c4889c68ebc46137ca3607ebae5cb9fd5dac78093f0bf8ac496b74745c691",
    "graph_inverse": "99fac0e9dad0c9caa718b0b63dc6ad0307ef29125091b742b7446e2d9f0c7595",
    "learned_aggregation": "4f74bee1c4550e7e5d037834a61b3b7eb9d4353487efebfcafc0c883c8207f03",
    "vcycle_darcy": "b1a94cf241c605eed4ebf5ec5b190677ca0fd3af10c7fbc57e6c8b9e6a685203",
}


@pytest.mark.parametrize("name", shipped_weights())
def test_weights_are_those_that_were_trained(name):
    """Files are converted to new formats, and the numbers stay."""
    digest = hashlib.sha256()
    for key, weight in sorted(load_correction(name).state_dict().items()):
        digest.update(key.encode() + str(weight.dtype).encode() + weight.numpy().tobytes())
    assert digest.hexdigest() == TRAINED[name]


@pytest.fixture(scope="module")
def plane():
    return load_correction("dcdm_poisson")


def test_2d_has_a_tenth_of_the_published_work(plane):
    assert plane.work <= PUBLISHED["work"] / 10


def test_2d_takes_fewer_steps_than_published_on_the_published_system(plane, shared_data, generator):
    matrix = scipy.sparse.load_npz(shared_data / "dcdm" / "A_Sparse_N63.npz")
    found = recognise(matrix)
    A = Matrix(matrix, Grid((64, 64), boundary="neumann", placement="centers"))
    for _ in range(3):
        b = noise(A, generator)
        reduced = found.reduce(b)
        scale = (b.norm() / reduced.norm()).item()  # of |b - A x|: ghosts have no residual
        result = deep_conjugate_direction(
            found.inner, reduced, plane.on(found.inner), rtol=1e-10 * scale
        )
        x = found.extend(result.x, b)
        assert (b - A @ x).norm() <= 1.01e-10 * b.norm()
        assert all(i <= j for i, j in zip(counts(result, scale), PUBLISHED["counts"], strict=True))


@pytest.mark.parametrize("n", [64, 128])
@pytest.mark.parametrize("walls", [0, 1, 12])
def test_2d_on_larger_boxes_and_walls_it_never_saw(plane, n, walls, generator):
    A = poisson(discs(n, generator, walls))
    result = deep_conjugate_direction(A, noise(A, generator), plane.on(A), rtol=1e-10)
    assert all(i <= 1.5 * j for i, j in zip(counts(result), PUBLISHED["counts"], strict=True)), (
        counts(result)
    )


@pytest.mark.slow
def test_2d_does_not_slow_down_with_size(plane, generator):
    """From 64² to 512² at most half as many steps again: training ended at 64²."""
    steps = []
    for n in (64, 512):
        A = poisson(walled(n, n))
        steps.append(
            deep_conjugate_direction(A, noise(A, generator), plane.on(A), rtol=1e-8).iterations
        )
    assert steps[1] <= 1.5 * steps[0]


@pytest.mark.slow
def test_3d_on_real_frames_takes_fewer_than_a_fifth_of_the_steps_of_cg(shared_data):
    """CG takes 129 to 1e-4; the training never saw more than 9,000 cells at once."""
    folder = shared_data / "dcdm"
    matrix = scipy.sparse.load_npz(folder / "A_Sparse_3D_N63.npz")
    found = recognise(matrix)
    A, net = found.operator, load_correction("dcdm_poisson3d").on(found.inner)
    for frame in (10, 20):
        b = A.project(read_vector(folder / f"div_v_star_N63_{frame}.bin").reshape(A.grid.shape))
        reduced = found.reduce(b)
        scale = (b.norm() / reduced.norm()).item()
        result = deep_conjugate_direction(found.inner, reduced, net, rtol=1e-4 * scale)
        assert result.converged
        assert result.iterations < 129 / 5
        assert (b - A @ found.extend(result.x, b)).norm() <= 1.01e-4 * b.norm()


def darcy(n, seed, contrast):
    """Two values, the seam where a Gaussian field changes its sign; unseen in training."""
    random = sample_generator(2**40 + seed, 0)
    grid = Grid((n, n), 1.0, "dirichlet", "interior")
    field = GaussianField(tau=random.uniform(3, 8)).sample(grid, random)
    return Diffusion(torch.where(field > 0, contrast, 1.0).double(), grid)


@pytest.mark.parametrize("contrast", [4.0, 1e2, 1e4])
def test_vcycle_takes_as_many_iterations_on_sixteen_times_as_many_unknowns(contrast, generator):
    """Within 30 %; and few on both."""
    vcycle, mean = load_correction("vcycle_darcy"), []
    for n in (63, 255):
        counts = []
        for seed in range(3):
            A = darcy(n, seed, contrast)
            b = torch.randn(n, n, generator=generator, dtype=torch.float64)
            result = cg(A, b, M=vcycle.on(A), rtol=1e-8)
            assert (b - A @ result.x).norm() <= 1.01e-8 * b.norm()
            counts.append(result.iterations)
        mean.append(sum(counts) / 3)
    assert mean[0] < 14
    assert mean[1] <= 1.3 * mean[0]


def test_vcycle_serves_scipy_and_is_symmetric(generator):
    """From the matrix alone."""
    A = darcy(60, 7, 100.0)
    matrix = scipy.sparse.csr_matrix(A.to_csr())
    M = load_preconditioner("vcycle_darcy", matrix)
    check_spd(load_correction("vcycle_darcy").double().on(A))
    b, steps = torch.randn(3600, generator=generator, dtype=torch.float64).numpy(), []
    x, info = scipy.sparse.linalg.cg(matrix, b, M=M, rtol=1e-8, callback=lambda xk: steps.append(1))
    assert info == 0
    assert len(steps) < 15
    assert numpy.linalg.norm(b - matrix @ x) <= 1.01e-8 * numpy.linalg.norm(b)


def test_vcycle_learned_more_than_nothing(generator):
    """Fewer iterations over ten fields than with the shares it began with."""
    trained = load_correction("vcycle_darcy")
    fresh = VCyclePreconditioner(2, **trained.arguments)
    total = {"trained": 0, "fresh": 0}
    for seed in range(10):
        A = darcy(63, seed, 1e2)
        b = torch.randn(63, 63, generator=generator, dtype=torch.float64)
        for name, model in (("trained", trained), ("fresh", fresh)):
            total[name] += cg(A, b, M=model.on(A), rtol=1e-8).iterations
    assert total["trained"] < total["fresh"]


@pytest.mark.parametrize("kind", ["triangles_jumps", "elasticity", "graph"])
def test_graph_inverse_takes_at_most_half_the_iterations_of_incomplete_cholesky(kind):
    """On meshes and graphs that training did not have; from the matrix alone."""
    matrix = scipy.sparse.csr_matrix(KINDS[kind](1500, numpy.random.default_rng(2**40)))
    A = Matrix(matrix, symmetric=True, positive_definite=True)
    b = torch.from_numpy(numpy.random.default_rng(0).standard_normal(A.grid.num_nodes))
    classical = cg(A, b, M=IncompleteCholesky(A)).iterations
    M = load_preconditioner("graph_inverse", matrix)
    steps = []
    x, info = scipy.sparse.linalg.cg(
        matrix, b.numpy(), M=M, rtol=1e-8, callback=lambda xk: steps.append(1)
    )
    assert info == 0
    assert numpy.linalg.norm(b.numpy() - matrix @ x) <= 1.01e-8 * b.norm().item()
    assert len(steps) <= 0.5 * classical


@pytest.mark.parametrize(
    "kind",
    ["triangles_jumps", "elasticity", pytest.param("tetrahedra", marks=pytest.mark.slow)],
)
def test_learned_aggregation_takes_three_quarters_of_the_untrained_iterations(kind):
    """On meshes that training did not have, and on a kind that it did not have; and no more than
    the best polynomial with as many products."""
    matrix = KINDS[kind](3000, numpy.random.default_rng(2**40))
    A = Matrix(matrix, symmetric=True, positive_definite=True)
    b = torch.from_numpy(numpy.random.default_rng(0).standard_normal(A.grid.num_nodes))
    M = load_correction("learned_aggregation").on(A)
    learned, untrained, polynomial = (
        cg(A, b, M=M, rtol=1e-8).iterations
        for M in (M, AggregationCycle(A), AggregationCycle(A, chebyshev))
    )
    assert learned <= 0.75 * untrained
    assert learned <= polynomial
