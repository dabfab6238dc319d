"""Systems for learned solvers: what a sample must be, and on what it may depend."""

import pytest
import torch

from pdeops.datasets.systems import SYSTEMS
from pdeops.datasets.systems.poisson_systems import ERRORS, PoissonSystems
from pdeops.domain import Grid
from pdeops.kernels.diffusion.reference import apply
from pdeops.solvers import Diffusion

KINDS = pytest.mark.parametrize("errors", sorted(ERRORS))


def faces_of(sample):
    return list(sample.operator)


def system_of(sample):
    shape = tuple(sample.target.shape)
    grid = Grid(shape, [float(n) for n in shape], "neumann", "centers")
    return Diffusion.from_faces([c.double() for c in faces_of(sample)], grid)


@KINDS
@pytest.mark.parametrize("shape", [(24, 18), (10, 8, 12)])
def test_couplings_are_those_of_a_poisson_system_with_walls(errors, shape):
    systems, walls = PoissonSystems(shapes=[shape], walls=0.8, errors=errors), 0
    for i in range(12):
        A = system_of(systems[i])
        fluid = A.diagonal() > 0
        grid = Grid(shape, A.grid.extent, "neumann", "centers")
        same = Diffusion(1.0, grid, fluid=fluid)
        assert all(torch.equal(a, b) for a, b in zip(A.faces, same.faces, strict=True))
        assert fluid.double().mean() > 0.2
        inside = fluid[(slice(1, -1),) * len(shape)]
        walls += not inside.all()
    assert 4 <= walls <= 12


@KINDS
def test_errors_have_norm_one_and_no_mean(errors):
    systems = PoissonSystems(shapes=[(24, 20)], errors=errors)
    for i in range(8):
        e = systems[i].target
        assert e.dtype == torch.float32
        assert e.norm() == pytest.approx(1, rel=1e-5)
        assert e.sum().abs() < 1e-4


def test_errors_hold_smooth_and_rough_fields():
    systems = PoissonSystems(shapes=[(32, 32)], walls=0.0)
    quotients = []
    for i in range(60):
        sample = systems[i]
        r = apply(sample.target, faces_of(sample), None, (False, False))
        quotients.append((r * sample.target).sum().item())
    assert min(quotients) < 0.05
    assert max(quotients) > 3  # white noise has 4


def test_ritz_mixtures_have_residuals_in_the_lower_half_of_the_pairs():
    """r = A e is nearly the mixture of Ritz vectors that was meant, of full spectrum."""
    sample = PoissonSystems(shapes=[(24, 24)], walls=0.0, errors="ritz_mixtures")[3]
    A = system_of(sample)
    r = A @ sample.target.double()
    energy = (r * (A @ r)).sum() / (r * r).sum()
    assert 0.1 < energy < 4  # white noise has 4, A e of white noise 5


def test_a_sample_depends_on_seed_epoch_and_index_alone():
    first, again = (PoissonSystems(shapes=[(16, 16), (8, 32)], seed=3) for _ in range(2))
    drawn = [first[i] for i in range(5)]
    assert len(drawn) == 5
    for e in (0, 1, 2):
        for systems in (first, again):
            systems.set_epoch(e)
        ours, theirs = first[7].tensors(), again[7].tensors()
        assert all(torch.equal(u, v) for u, v in zip(ours, theirs, strict=True))
        assert first[7].target.shape == ((16, 16), (8, 32))[e % 2]
    draws = []
    for seed, epoch, index in [(3, 0, 7), (4, 0, 7), (3, 2, 7), (3, 0, 8)]:
        systems = PoissonSystems(shapes=[(16, 16), (8, 32)], seed=seed)
        systems.set_epoch(epoch)
        draws.append(systems[index].target)
    assert all(not torch.equal(u, v) for i, u in enumerate(draws) for v in draws[:i])


def test_held_out_systems_are_fixed_and_others():
    systems = PoissonSystems(shapes=[(16, 16), (8, 32)], num_samples=20)
    held = systems.held_out(5)
    assert len(held) == 5
    before = held[2].target
    systems.set_epoch(1)
    assert before.shape == (8, 32)
    assert torch.equal(before, held[2].target)
    assert not any(torch.equal(before, systems[i].target) for i in range(20))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shapes": [(16, 16), (8, 8, 8)]}, "all of one dimension"),
        ({"shapes": [(16, 3)]}, "4 or more cells"),
        ({"shapes": [(16, 16)], "errors": "ritz_mixture"}, "Did you mean 'ritz_mixtures'"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SYSTEMS["PoissonSystems"](**arguments)
