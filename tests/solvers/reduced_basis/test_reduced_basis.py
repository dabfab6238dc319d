"""POD is optimal, Galerkin projection is the closest element in the norm of A, interpolation and
regression reproduce what they must."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion
from pdeops.solvers.reduced_basis.galerkin import EmpiricalInterpolation, ReducedGalerkin
from pdeops.solvers.reduced_basis.pod import POD

RANDOM = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(*shape, generator=RANDOM, dtype=torch.float64)


@pytest.fixture(scope="module")
def weights():
    return 0.5 + torch.rand(30, generator=RANDOM, dtype=torch.float64)


@pytest.fixture(scope="module")
def snapshots():
    """Twelve fields with singular values over four decades."""
    return normal(12, 12) @ torch.diag(10.0 ** -torch.linspace(0, 4, 12).double()) @ normal(12, 30)


def distance(space, u):
    """Mean square distance of fields to the space in its inner product."""
    gap = u - space.fields(space.coefficients(u))
    return (gap.square() @ space.weights).mean()


def test_modes_are_orthonormal_in_the_weighted_product(snapshots, weights):
    space = POD.of(snapshots, weights)
    gram = (space.modes * weights) @ space.modes.mT
    torch.testing.assert_close(gram, torch.eye(space.rank).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("rank", [1, 4, 8])
def test_the_distance_to_the_snapshots_is_the_tail_of_the_singular_values(snapshots, weights, rank):
    space = POD.of(snapshots, weights)
    expected = space.singular_values[rank:].square().sum() / len(snapshots)
    torch.testing.assert_close(distance(space.truncated(rank), snapshots), expected)


def test_no_other_space_of_the_dimension_is_closer(snapshots, weights):
    space = POD.of(snapshots, weights).truncated(4)
    for other in (normal(4, 12) @ snapshots, space.modes + 0.02 * normal(4, 30)):
        basis = torch.linalg.qr((other * weights.sqrt()).mT).Q.mT / weights.sqrt()
        rival = POD(space.mean, basis, weights, space.singular_values)
        assert distance(rival, snapshots) > 1.001 * distance(space, snapshots)


def test_nodes_without_weight_follow_the_others(snapshots, weights):
    """A linear function of the other nodes is the same function of them in every mode."""
    u, w = snapshots.clone(), weights.clone()
    u[:, 7], w[7] = u[:, 3] - 2 * u[:, 4], 0.0
    space = POD.of(u, w)
    modes = space.modes
    torch.testing.assert_close(modes[:, 7], modes[:, 3] - 2 * modes[:, 4])


def test_the_rank_of_a_share_of_the_energy(weights):
    u = torch.diag(torch.tensor([3.0, 2.0, 1.0]).double())  # energies 9, 4, 1 of 14
    space = POD.of(u, centred=False)
    assert [space.rank_for(share) for share in (0.6, 0.7, 0.92, 0.99)] == [1, 2, 2, 3]


def test_snapshots_that_are_not_finite_are_refused(snapshots):
    with pytest.raises(ValueError, match="1 values that are not finite"):
        POD.of(torch.where(snapshots == snapshots[2, 3], torch.nan, snapshots))


GRID = Grid((9, 9))
NUM = GRID.interior.num_nodes


def operator(a):
    """A of a coefficient at the nodes, on flat fields."""
    A = Diffusion(a, GRID)
    return lambda u: (A @ u.reshape(-1, *A.grid.shape)).reshape(u.shape)


def matrix(A):
    return A(torch.eye(NUM, dtype=torch.float64))


@pytest.fixture(scope="module")
def systems():
    """A(θ) = θ_1 A_1 + θ_2 A_2 with θ of six samples, their matrices and solutions of A u = b."""
    x, y = GRID.nodes()
    terms = [operator(1 + x + y * y), operator(1.5 + torch.sin(4 * x * y))]
    theta = 0.3 + torch.rand(6, 2, generator=RANDOM, dtype=torch.float64)
    A = torch.einsum("bq,qmn->bmn", theta, torch.stack([matrix(term) for term in terms]))
    b = normal(6, NUM)
    return terms, theta, A, b, torch.linalg.solve(A, b)


def test_snapshots_are_reproduced(systems):
    terms, theta, _, b, u = systems
    modes = POD.of(u, centred=False).modes
    torch.testing.assert_close(ReducedGalerkin(modes, terms).solve(theta, b), u)
    assert not torch.allclose(ReducedGalerkin(modes[:5], terms).solve(theta, b), u, rtol=1e-3)


def test_galerkin_is_the_closest_element_in_the_norm_of_a(systems):
    """The error is orthogonal to the space in <., A .>, and every other element is farther away."""
    terms, theta, A, b, u = systems
    modes = normal(3, NUM)
    found = ReducedGalerkin(modes, terms).solve(theta, b)
    error = u - found
    across = torch.einsum("rm,bmn,bn->br", modes, A, error)
    assert across.abs().max() < 1e-9 * b.norm()

    def energy(e):
        return torch.einsum("bm,bmn,bn->b", e, A, e)

    for step in (1e-2, 1.0):
        assert (energy(error + step * normal(6, 3) @ modes) > energy(error)).all()


def test_fewer_modes_and_terms_are_a_part_of_the_matrices(systems):
    terms, theta, _, b, _ = systems
    modes = normal(4, NUM)
    short = ReducedGalerkin(modes, terms).truncated(2, 1)
    expected = ReducedGalerkin(modes[:2], terms[:1]).solve(theta[:, :1], b)
    torch.testing.assert_close(short.solve(theta[:, :1], b), expected)


def test_interpolation_reproduces_the_span_and_no_more():
    modes = normal(5, 40)
    interpolation = EmpiricalInterpolation(modes)
    inside = normal(3, 5) @ modes
    theta = interpolation.coefficients(inside[:, interpolation.points])
    torch.testing.assert_close(theta @ modes, inside)
    outside = normal(3, 40)
    theta = interpolation.coefficients(outside[:, interpolation.points])
    assert not torch.allclose(theta @ modes, outside)
    torch.testing.assert_close(
        (theta @ modes)[:, interpolation.points], outside[:, interpolation.points]
    )
    assert len(set(interpolation.points.tolist())) == 5
    short = interpolation.truncated(3, modes)
    theta = short.coefficients(modes[:3, short.points])
    torch.testing.assert_close(theta, torch.eye(3).double())


def test_dependent_modes_are_refused():
    modes = normal(3, 40)
    modes[2] = modes[0] - modes[1]
    with pytest.raises(ValueError, match="mode 2 lies in the span"):
        EmpiricalInterpolation(modes)
