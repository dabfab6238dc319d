"""Systems with coefficients of many kinds: definite, as asked for, the same for one number."""

import numpy as np
import pytest
import torch

from pdeops.datasets.systems import darcy_systems
from pdeops.datasets.systems.darcy_systems import COEFFICIENTS, DarcySystems
from pdeops.domain import Grid
from pdeops.kernels.diffusion.reference import apply
from pdeops.solvers import Diffusion

kinds = pytest.mark.parametrize("kind", COEFFICIENTS)


def faces_of(sample):
    return list(sample.operator)


@kinds
@pytest.mark.parametrize("shape", [(20, 17), (8, 7, 9)])
def test_systems_are_definite(kind, shape):
    """Each fluid cell is held by an open side, however far: A is regular there."""
    systems = DarcySystems(shapes=[shape], kinds=[kind], contrast=100.0)
    for i in range(4):
        sample = systems[i]
        faces = faces_of(sample)
        basis = torch.eye(torch.Size(shape).numel(), dtype=torch.float64).reshape(-1, *shape)
        A = apply(basis, faces, None, (False,) * len(shape)).flatten(1)
        fluid = A.diagonal() > 0
        assert fluid.double().mean() > 1 / 3
        assert torch.equal(sample.target.flatten() != 0, fluid)
        eigenvalues = torch.linalg.eigvalsh(A[fluid][:, fluid])
        assert eigenvalues[0] > 1e-9 * eigenvalues[-1]


def test_couplings_are_harmonic_means():
    a = COEFFICIENTS["noise"]((6, 5), 50.0, np.random.default_rng(0))
    ours = darcy_systems.couplings_at_faces(a, np.full((2, 2), True), [1.0, 1.0])
    grid = Grid((6, 5), (7.0, 6.0), "dirichlet", "interior")
    theirs = Diffusion(torch.from_numpy(a), grid).faces
    for f, g in zip(ours, theirs, strict=True):
        torch.testing.assert_close(torch.from_numpy(f), g)


@kinds
def test_contrast_is_bounded(kind):
    for i in range(6):
        faces = faces_of(DarcySystems(shapes=[(24, 24)], kinds=[kind], contrast=30.0)[i])
        inner = torch.cat([f[f > 0] for f in faces])
        assert inner.max() / inner.min() < 30 * (1 + 1e-12)


def test_every_other_epoch_is_anisotropic():
    systems = DarcySystems(shapes=[(12, 12)], kinds=["boxes"], anisotropy=1000.0)
    ratios = []
    for epoch in range(8):
        systems.set_epoch(epoch)
        x, y = (f.max().item() for f in faces_of(systems[0]))
        ratios.append(max(x / y, y / x))
    assert ratios[::2] == [1.0] * 4
    assert min(ratios[1::2]) > 1
    assert max(ratios) > 30


def test_a_sample_depends_on_its_number_alone():
    one, two = (DarcySystems(shapes=[(16, 16), (8, 12)], seed=3) for _ in range(2))
    two.set_epoch(1)
    assert two[5].target.shape == (8, 12)
    two.set_epoch(0)
    two[3]
    assert torch.equal(one[5].target, two[5].target)
    assert torch.equal(one[5].operator[0], two[5].operator[0])
    assert not torch.equal(one.held_out(4)[3].operator[0], one[3].operator[0])


def test_what_it_refuses():
    for wrong, words in (
        ({"shapes": [[16, 16], [8, 8, 8]]}, "one dimension"),
        ({"kinds": ["blob"]}, "blobs"),
        ({"contrast": 0.5}, "1 or more"),
        ({"kinds": []}, "not empty"),
    ):
        with pytest.raises(ValueError, match=words):
            DarcySystems(**{"shapes": [[16, 16]], **wrong})
