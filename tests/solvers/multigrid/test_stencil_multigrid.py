import pickle

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.stencil import paired, stencil_offsets
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion, Multigrid, Stencil, cg
from pdeops.solvers.multigrid.smoothers import (
    Chebyshev,
    DirectionalLines,
    GaussSeidel,
    LineGaussSeidel,
)
from tests.stencils import blobs, differences, elements, random_stencil, rotated, without

SHAPES = [(65, 65), (64, 40), (42, 103), (3, 200), (1, 300), (400,), (9, 12, 11), (2, 30, 8)]


def iterations(A, M=None, rtol=1e-8):
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    result = cg(A, b, M=M or Multigrid(A.to(torch.float32)), rtol=rtol, max_iterations=60)
    assert result.converged, result
    gap = torch.from_numpy(A.to_csr() @ result.x.numpy().ravel()) - b.flatten()
    assert gap.norm() <= 1.01 * rtol * b.norm()
    return result.iterations


@pytest.mark.parametrize("positive", [0.0, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
def test_is_symmetric_positive_definite(shape, positive):
    for contrast in (1e4, 20.0):
        A = random_stencil(shape, contrast=contrast, positive=positive)
        M = Multigrid(A)
        assert len(M.shapes) > 1
        check_spd(M)
    assert iterations(A, M) <= 20


LINES = [((0, 1),), ((1, 0),), ((1, 1),), ((1, -1),), ((1, 1), (1, 0)), ((0, 1), (1, -1))]


@pytest.mark.parametrize("lines", LINES)
def test_lines_are_symmetric_positive_definite(lines):
    A = random_stencil((42, 51))
    for cycle in ("V", "W"):
        M = Multigrid(A, smoother=DirectionalLines(lines), cycle=cycle)
        check_spd(M)
        assert iterations(A, M) <= 15


def test_cycles_are_symmetric_only_where_they_say_so():
    A = random_stencil((90, 80))
    for smoother in (GaussSeidel(), DirectionalLines(((1, 1),))):
        for wrong in (
            Multigrid(A, mirrored=False, smoother=smoother),
            Multigrid(A, sweeps=(2, 1), smoother=smoother),
            Multigrid(A, cycle="F", smoother=smoother),
        ):
            assert not wrong.symmetric
            with pytest.raises(ValueError, match="not symmetric"):
                check_spd(wrong)


@pytest.mark.parametrize(
    ("coefficient", "bound"), [(None, 7), (1e2, 8), (1e4, 9), (1e6, 13)], ids=str
)
def test_bilinear_elements(coefficient, bound):
    """Iterations are bounded for all sizes and jumps."""
    for n in (63, 127, 255):
        k = None if coefficient is None else blobs((n, n + 1), coefficient)
        assert iterations(elements((n, n + 1), k=k)) <= bound


@pytest.mark.parametrize(("coefficient", "bound"), [(None, 7), (1e4, 10)], ids=str)
def test_trilinear_elements(coefficient, bound):
    for n in (15, 31):
        k = None if coefficient is None else blobs((n, n, n + 1), coefficient)
        assert iterations(elements((n, n, n + 1), k=k)) <= bound


@pytest.mark.parametrize("aspect", [2.0, 10.0, 100.0])
def test_flat_cells(aspect):
    """Couplings along the wide side are positive."""
    for n in (63, 127):
        for spacing in ((1.0, aspect), (aspect, 1.0)):
            A = elements((n, n), spacing=spacing)
            assert iterations(A) <= 8
            assert iterations(A, Multigrid(A, smoother=LineGaussSeidel())) <= 8
    for spacing in ((1.0, 1.0, 10.0), (10.0, 1.0, 10.0), (1.0, 3.0, 10.0)):
        assert iterations(elements((24, 25, 23), spacing=spacing)) <= 11


@pytest.mark.parametrize(
    ("degrees", "bound"), [(0, 8), (10, 9), (20, 16), (45, 20), (60, 15), (135, 20), (160, 16)]
)
@pytest.mark.parametrize("discretise", [lambda n, D: elements((n, n), D=D), None])
def test_rotated_anisotropy(degrees, bound, discretise):
    """Iterations for 1 : 1e-3 do not grow with the grid."""
    counts = []
    for n in (63, 127, 255):
        D = rotated(1e-3, degrees)
        A = discretise(n, D) if discretise else differences((n, n), D)
        counts.append(iterations(A))
    assert max(counts) <= bound
    assert counts[2] - counts[1] <= 2


def test_rotated_anisotropy_needs_its_cycle():
    """Negative control: with V-cycles by points the iterations grow."""
    counts = []
    for n in (63, 255):
        A = elements((n, n), D=rotated(1e-3, 45))
        counts.append(iterations(A, Multigrid(A, cycle="V", smoother=GaussSeidel())))
    assert counts[1] > 1.6 * counts[0]


@pytest.mark.parametrize("direction", [(1, 1), (1, -1)])
def test_couplings_along_one_diagonal_need_lines(direction):
    """Differences that follow a diagonal leave its neighbours nearly uncoupled."""
    n = 127
    a = torch.zeros(4, n, n, dtype=torch.float64)
    for offset, coupling in ((0, 1), -1e-3), ((1, 0), -1e-3), (direction, -1.0):
        a[stencil_offsets(2).index(offset)][paired(offset, (n, n))[0]] = coupling
    A = Stencil(
        torch.full((n, n), 2.004, dtype=torch.float64), a, Grid((n, n), placement="interior")
    )
    assert A.positive_definite
    M = Multigrid(A)
    assert M.spec.smoother == DirectionalLines((direction,))
    assert iterations(A, M) <= 8


@pytest.mark.parametrize("ndim", [2, 3])
def test_holes_and_corners(ndim):
    """Nodes that are equations by themselves, in an L-shape with an obstacle, of any size."""
    n = 127 if ndim == 2 else 31
    hole = torch.zeros((n,) * ndim, dtype=torch.bool)
    hole[n // 2 :, n // 2 :] = True
    hole[n // 5 : n // 3, n // 5 : n // 3] = True
    for scale in (1e-3, 1.0, 1e3):
        A = without(elements((n,) * ndim), hole)
        A = Stencil(
            torch.where(hole, scale, A.diagonal()), A.couplings, A.grid, positive_definite=True
        )
        assert iterations(A) <= 11


def test_agrees_with_the_multigrid_of_five_points():
    """A diffusion as a stencil without diagonals."""
    generator = torch.Generator().manual_seed(0)
    k = 0.1 + torch.rand(34, 35, generator=generator, dtype=torch.float64)
    A = Diffusion(k, Grid((34, 35)))
    a = torch.zeros(4, *A.grid.shape, dtype=torch.float64)
    a[0, :, :-1], a[2, :-1] = -A.faces[1][:, 1:-1], -A.faces[0][1:-1]
    S = Stencil(A.diagonal(), a, A.grid)
    assert abs(S.to_csr() - A.to_csr()).max() <= 1e-12 * A.diagonal().max()
    assert iterations(S, Multigrid(S)) <= iterations(A, Multigrid(A)) + 1


def test_bound_cycle_is_the_applied_one():
    A = random_stencil((40, 41))
    M = Multigrid(A.to(torch.float32))
    b = torch.randn(3, 40, 41, dtype=torch.float64)
    together = M @ b
    for one, expected in zip(b, together, strict=True):
        out = torch.empty_like(one)
        M.bind(one, out)()
        assert torch.equal(out, expected)
    copied = pickle.loads(pickle.dumps(M))
    assert torch.equal(copied @ b, together)


def test_variants_share_levels():
    A = random_stencil((40, 41))
    M = Multigrid(A)
    W = M.variant(kind="W")
    assert W._hierarchy is M._hierarchy
    assert torch.equal(W @ A.diagonal(), Multigrid(A, cycle="W") @ A.diagonal())
    lines = M.variant(smoother=DirectionalLines(((1, 1),)))
    assert lines._hierarchy is not M._hierarchy


def test_cycles_alone():
    """x <- x + M (b - A x) without conjugate gradients contracts by 0.10 per cycle."""
    A = elements((127, 120))
    M = Multigrid(A, sweeps=(2, 1), mirrored=False)
    b = torch.ones_like(A.diagonal())
    x = torch.zeros_like(b)
    for _ in range(10):
        x += M @ (b - A @ x)
    assert torch.linalg.vector_norm(b - A @ x) <= 1e-9 * torch.linalg.vector_norm(b)


def test_threads_do_not_change_the_result(monkeypatch):
    from pdeops.kernels.runtime import row_blocks

    for A in (random_stencil((61, 60)), random_stencil((14, 15, 13))):
        b = torch.randn(A.grid.shape, dtype=torch.float64)
        smoothers = [GaussSeidel()]
        if A.ndim == 2:
            smoothers += [DirectionalLines((line,)) for line in ((1, 0), (1, 1), (1, -1))]
        for smoother in smoothers:
            alone = Multigrid(A, smoother=smoother) @ b
            with monkeypatch.context() as patch:
                patch.setattr(row_blocks, "count", lambda size, least: 3)
                assert torch.equal(Multigrid(A, smoother=smoother) @ b, alone)


def test_errors():
    A = elements((40, 41))
    with pytest.raises(ValueError, match="Gauss-Seidel"):
        Multigrid(A, smoother=Chebyshev(2))
    with pytest.raises(ValueError, match="axes are 0 to 1"):
        Multigrid(A, smoother=LineGaussSeidel((2,)))
    with pytest.raises(ValueError, match="lead from row to row"):
        Multigrid(A, smoother=LineGaussSeidel((0, 1)))
    with pytest.raises(ValueError, match="on 3 axes"):
        Multigrid(elements((9, 9, 9)), smoother=LineGaussSeidel((0,)))
    with pytest.raises(ValueError, match="Lines lead along"):
        DirectionalLines(((2, 1),))
    with pytest.raises(ValueError, match="Leave out `shares`"):
        Multigrid(A, coarse="sparsified")
    with pytest.raises(ValueError, match="smooths a Stencil"):
        Multigrid(Diffusion(1.0, Grid((33, 33))), smoother=DirectionalLines(((1, 1),)))
    indefinite = Stencil(A.diagonal() - 2.0, A.couplings, A.grid)
    with pytest.raises(ValueError, match="lost positive definiteness"):
        Multigrid(indefinite)
