"""Cells of meshes: volumes, orientation, and quadrature weights of the nodes."""

import pytest
import torch

from pdeops.domain.cells import cell_volumes, corner_jacobians, kind_of, node_weights

CUBE = [[0, 1, 2, 3, 4, 5, 6, 7]]
TETRAHEDRA = [[0, 1, 2, 6], [0, 2, 3, 6], [0, 3, 7, 6], [0, 7, 4, 6], [0, 4, 5, 6], [0, 5, 1, 6]]


def plane(n, generator, *, triangles):
    """A distorted mesh of the unit square whose boundary stays in place."""
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(x, x, indexing="ij"))
    shift = 0.25 / (n - 1) * (2 * torch.rand(2, n, n, generator=generator).double() - 1)
    grid[:, 1:-1, 1:-1] += shift[:, 1:-1, 1:-1]
    k = torch.arange(n * n).view(n, n)
    quads = torch.stack([k[:-1, :-1], k[1:, :-1], k[1:, 1:], k[:-1, 1:]], -1).view(-1, 4)
    cells = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]) if triangles else quads
    return grid.flatten(1), cells


def hexahedra(n, generator):
    """The same in the unit cube: interior nodes are moved, so that faces are not plane."""
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(x, x, x, indexing="ij"))
    inside = (slice(None), *(slice(1, -1),) * 3)
    shift = 0.2 / (n - 1) * (2 * torch.rand(grid.shape, generator=generator).double() - 1)
    grid[inside] += shift[inside]
    k = torch.arange(n**3).view(n, n, n)
    low, high = slice(None, -1), slice(1, None)
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    ends = [(i, j, m) for m in (0, 1) for i, j in corners]
    cells = [k[tuple((low, high)[e] for e in end)].flatten() for end in ends]
    return grid.flatten(1), torch.stack(cells, 1)


@pytest.mark.parametrize("kind", ["triangle", "quadrilateral", "tetrahedron", "hexahedron"])
def test_the_weights_integrate_linear_fields_exactly(kind, generator):
    if kind in ("triangle", "quadrilateral"):
        x, cells = plane(5, generator, triangles=kind == "triangle")
    else:
        x, cells = hexahedra(4, generator)
        if kind == "tetrahedron":
            cells = torch.cat([cells[:, list(corners)] for corners in TETRAHEDRA])
    assert kind_of(*(x.shape[0], cells.shape[1])) == kind
    w = node_weights(x, cells)
    c = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)[: len(x)]
    assert (w * (2 + c @ x)).sum().item() == pytest.approx(2 + c.sum().item() / 2, rel=1e-13)
    assert cell_volumes(x, cells).sum().item() == pytest.approx(1, rel=1e-13)
    assert (corner_jacobians(x, cells) > 0).all()
    assert abs((w * x[0] ** 2).sum().item() - 1 / 3) > 1e-3  # negative control


def test_lengths_and_areas_in_space():
    x = torch.tensor([[0.0, 3, 3], [0, 4, 4], [0, 0, 12]]).double()
    assert cell_volumes(x, torch.tensor([[0, 1], [1, 2]])).tolist() == pytest.approx([5, 12])
    assert cell_volumes(x, torch.tensor([[0, 1, 2]])).tolist() == pytest.approx([30])
    assert node_weights(x, torch.tensor([[0, 1]])).tolist() == pytest.approx([2.5, 2.5, 0])


def test_reversed_corners_change_the_sign_but_not_the_weights(generator):
    x, cells = plane(4, generator, triangles=False)
    turned = cells.flip(1)
    assert torch.allclose(cell_volumes(x, turned), -cell_volumes(x, cells))
    assert torch.allclose(node_weights(x, turned), node_weights(x, cells), atol=1e-16)


def test_a_bilinear_cell_has_the_weights_of_its_shape_functions():
    """∫ φ_i over a trapezium, by Σ_j J_j ∫ φ_i φ_j on the reference square, J at the corners."""
    x = torch.tensor([[0.0, 2, 1, 0], [0, 0, 1, 1]]).double()
    cells = torch.tensor([[0, 1, 2, 3]])
    near, far, across = 4 / 36, 1 / 36, 2 / 36
    mass = torch.tensor(
        [[near, across, far, across], [across, near, across, far],
         [far, across, near, across], [across, far, across, near]]
    ).double()  # fmt: skip
    expected = mass @ corner_jacobians(x, cells)[0]
    assert torch.allclose(node_weights(x, cells), expected)
    assert cell_volumes(x, cells).item() == pytest.approx(1.5)


def test_other_cells_are_refused():
    with pytest.raises(ValueError, match=r"3 in 2D \(triangle\).* got 5 in 2D. Split"):
        kind_of(2, 5)
