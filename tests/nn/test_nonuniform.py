"""Transforms between scattered points and modes: plain twins, exact cases, adjoint, gradients."""

import pytest
import torch

from pdeops.nn import nonuniform
from pdeops.nn.nonuniform import (
    hermitian_weights,
    to_modes,
    to_modes_plain,
    to_points,
    to_points_plain,
    wavenumbers,
)

N_MODES = {1: (8,), 2: (6, 8), 3: (4, 4, 6)}
every_dimension = pytest.mark.parametrize("d", N_MODES)


def cloud(generator, d, *, b=2, n=23):
    return torch.rand(b, d, n, generator=generator, dtype=torch.float64)


def coefficients(generator, d, *, b=2, c=3):
    shape = [len(k) for k in wavenumbers(N_MODES[d])]
    f = torch.randn(b, c, *shape, 2, generator=generator, dtype=torch.float64)
    return torch.view_as_complex(f)


@every_dimension
@pytest.mark.parametrize("block", [1 << 22, 300])
def test_equals_the_direct_sums(d, block, generator, monkeypatch):
    monkeypatch.setattr(nonuniform, "_LARGEST_BLOCK", block)
    x, numbers = cloud(generator, d), wavenumbers(N_MODES[d])
    u = torch.randn(2, 3, 23, generator=generator, dtype=torch.float64)
    f = coefficients(generator, d)
    torch.testing.assert_close(to_modes(u, x, numbers), to_modes_plain(u, x, numbers))
    torch.testing.assert_close(to_points(f, x, numbers), to_points_plain(f, x, numbers))


@every_dimension
def test_equals_the_fft_on_a_grid(d, generator):
    n = 8
    axis = torch.arange(n, dtype=torch.float64) / n
    x = torch.stack(torch.meshgrid(*[axis] * d, indexing="ij")).flatten(1)[None]
    u = torch.randn(1, 2, *[n] * d, generator=generator, dtype=torch.float64)
    numbers = wavenumbers(N_MODES[d])
    mine = to_modes(u.flatten(2), x, numbers)
    theirs = torch.fft.rfftn(u, dim=tuple(range(2, 2 + d)))
    for axis, k in enumerate(numbers, 2):
        theirs = theirs.index_select(axis, k % n if axis < d + 1 else k)
    torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


@every_dimension
def test_are_transposes_of_each_other(d, generator):
    """Re Σ conj(f) û = Σ y u: type 2 is the transpose of type 1."""
    x, numbers = cloud(generator, d), wavenumbers(N_MODES[d])
    u = torch.randn(2, 3, 23, generator=generator, dtype=torch.float64)
    f = coefficients(generator, d)
    left = (f.conj() * to_modes(u, x, numbers)).real.sum()
    torch.testing.assert_close(left, (to_points(f, x, numbers) * u).sum())


def test_gradients_to_second_order(generator):
    x = cloud(generator, 2, b=1, n=5).requires_grad_()
    numbers = wavenumbers((2, 4))
    u = torch.randn(1, 2, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    f = torch.randn(1, 2, 2, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)

    def modes(u, x):
        return torch.view_as_real(to_modes(u, x, numbers))

    def points(f, x):
        return to_points(torch.view_as_complex(f), x, numbers)

    for form, first in ((modes, u), (points, f)):
        assert torch.autograd.gradcheck(form, (first, x))
        assert torch.autograd.gradgradcheck(form, (first, x))


def test_a_real_field_of_the_kept_modes_comes_back(generator):
    """Weights 1 and 2 complete the conjugate half; without them it does not come back."""
    numbers = wavenumbers((8, 8))
    axis = torch.arange(16, dtype=torch.float64) / 16
    x = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)[None]
    f = torch.randn(1, 1, 8, 4, 2, generator=generator, dtype=torch.float64)
    f[:, :, 4] = 0  # the wavenumber -4 has no partner
    f = torch.view_as_complex(f)
    u = to_points(f * hermitian_weights(4, f), x, numbers)
    back = to_modes(u, x, numbers) / 256
    assert (to_points(back * hermitian_weights(4, f), x, numbers) - u).norm() <= 1e-12 * u.norm()
    assert (to_points(back, x, numbers) - u).norm() > 0.1 * u.norm()
