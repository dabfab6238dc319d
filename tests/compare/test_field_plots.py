"""Figures of fields: what is drawn on grids, spheres and points, and on which scales."""

import math

import numpy as np
import pytest
import torch
from matplotlib.collections import TriMesh

from pdeops.compare.field_plots import Samples, field_panel
from pdeops.compare.triangulation import triangulate
from pdeops.domain import Grid, Points, Sphere

RADIUS = 0.25


def plate(n=24):
    """Nodes of a square with spacing 1 / n, without those in a disc around its centre."""
    x = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, n + 1)] * 2, indexing="ij")).flatten(1)
    x = x + 0.1 / n * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    return x[:, (x - 0.5).norm(dim=0) > RADIUS].double()


def centres(found, mask):
    corners = np.stack([found.x, found.y], axis=-1)[found.triangles[mask]]
    return np.linalg.norm(corners.mean(axis=1) - 0.5, axis=-1)


def area(found, mask):
    p = np.stack([found.x, found.y], axis=-1)[found.triangles[mask]]
    a, b = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    return abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2


def test_a_void_stays_empty_and_all_else_is_filled():
    found = triangulate(Points(2, plate()))
    assert centres(found, ~found.mask).min() > RADIUS - 2 / 24
    beyond = np.flatnonzero(found.mask)[centres(found, found.mask) > RADIUS]
    assert area(found, beyond) < 0.002  # slivers along the rough outer edge
    assert area(found, ~found.mask) == pytest.approx(1 - math.pi * RADIUS**2, abs=0.02)
    assert area(found, slice(None)) > 0.99  # negative control: without the mask it is filled


def test_points_of_changing_spacing_keep_their_triangles():
    """From spacing 0.002 to 0.1 over a square."""
    s = torch.linspace(0, 1, 21).double() ** 2
    x = torch.stack(torch.meshgrid(s, torch.linspace(0, 1, 21).double() ** 2, indexing="ij"))
    found = triangulate(Points(2, x.flatten(1)))
    assert area(found, ~found.mask) > 0.9


def test_a_mesh_gives_its_cells():
    square = torch.tensor([[0.0, 1, 1, 0, 2], [0.0, 0, 1, 1, 0]])
    quadrilateral = triangulate(Points(2, square, cells=torch.tensor([[0, 1, 2, 3]])))
    assert quadrilateral.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert area(quadrilateral, slice(None)) == pytest.approx(1)
    triangle = triangulate(Points(2, square, cells=torch.tensor([[1, 4, 2]])))
    assert triangle.triangles.tolist() == [[1, 4, 2]]
    assert triangle.mask is None


def test_says_which_points_have_no_triangulation():
    line = torch.rand(1, 9).expand(2, 9)
    for points in (Points(2, line), Points(2, torch.rand(2, 2))):
        with pytest.raises(ValueError, match="not on one line"):
            triangulate(points)
    with pytest.raises(ValueError, match="one sample with two coordinates"):
        triangulate(Points(3, torch.rand(3, 9)))


def panels(figure):
    """The axes of the fields, without the scales of colours."""
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def fields(generator, domains):
    return [torch.randn(*d.shape, generator=generator) for d in domains]


def test_points_are_drawn_on_triangles(tmp_path, drawn, generator):
    """Two clouds of different size; truth and prediction of a sample share their limits."""
    mesh = Points(2, torch.rand(2, 9), cells=torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]]))
    domains = [Points(2, plate()), mesh]
    truth, predicted = fields(generator, domains), fields(generator, domains)
    field_panel(tmp_path / "a.png", Samples([None, None], truth, {"net": predicted}, domains))
    rows = np.array(panels(drawn[0])).reshape(2, 4)
    counts = [(~triangulate(domains[0]).mask).sum(), 3]
    for row, u, p, count in zip(rows, truth, predicted, counts, strict=True):
        assert row[0].lines, "the geometry is drawn as a mesh"
        meshes = [c for ax in row[1:] for c in ax.collections if isinstance(c, TriMesh)]
        assert [len(m.get_paths()) for m in meshes] == [count] * 3
        for shown, values in zip(meshes, (u, p, (p - u).abs()), strict=True):
            np.testing.assert_allclose(shown.get_array(), values)
        low, high = min(u.min(), p.min()), max(u.max(), p.max())
        assert (
            meshes[0].get_clim() == meshes[1].get_clim() == pytest.approx((low.item(), high.item()))
        )
        assert meshes[2].get_clim() == pytest.approx((0, (p - u).abs().max().item()))
    relative = ((predicted[0] - truth[0]).norm() / truth[0].norm()).item()
    assert rows[0, 3].get_title().startswith("error of net: ")
    assert float(rows[0, 3].get_title().split()[-2].rstrip("%")) == pytest.approx(
        100 * relative, rel=0.01
    )


def test_operators_share_the_scales_of_a_row(tmp_path, drawn, generator):
    domains = [Grid((5, 4), extent=(1.0, 2.0))]
    a, u, p, q = (fields(generator, domains) for _ in range(4))
    field_panel(tmp_path / "a.png", Samples(a, u, {"one": p, "two": [5 * q[0]]}, domains))
    images = [ax.images[0] for ax in panels(drawn[0])]
    assert len({images[i].get_clim() for i in (1, 2, 4)}) == 1
    assert len({images[i].get_clim() for i in (3, 5)}) == 1
    np.testing.assert_allclose(images[1].get_array(), u[0].T)  # the first axis is horizontal
    assert images[1].get_extent() == [0, 1, 0, 2]


def test_without_a_truth_the_prediction_alone(tmp_path, drawn, generator):
    domains = [Sphere((5, 8))]
    a, p = fields(generator, domains), fields(generator, domains)
    field_panel(tmp_path / "a.png", Samples(a, [None], {"net": p}, domains, ("height", "-")))
    assert [ax.get_title() for ax in panels(drawn[0])] == ["height", "net"]
    np.testing.assert_allclose(panels(drawn[0])[1].images[0].get_array(), p[0].flip(0))


@pytest.mark.parametrize("domain", [Grid((6,)), Points(1, torch.rand(1, 6))])
def test_curves_have_a_common_vertical_scale(tmp_path, drawn, generator, domain):
    a, u, p = (fields(generator, [domain]) for _ in range(3))
    field_panel(tmp_path / "a.png", Samples(a, u, {"net": p}, [domain]))
    truth, net = panels(drawn[0])[1:3]
    assert truth.get_ylim() == net.get_ylim()
    x, y = net.lines[0].get_data()
    order = domain.nodes()[0].argsort()
    np.testing.assert_allclose(x, domain.nodes()[0][order])
    np.testing.assert_allclose(y, p[0][order])


def test_three_dimensions(tmp_path, drawn, generator):
    """The middle plane of a box, and coloured points."""
    box, points = Grid((4, 5, 6)), Points(3, torch.rand(3, 7, generator=generator))
    for domain in (box, points):
        a, u, p = (fields(generator, [domain]) for _ in range(3))
        field_panel(tmp_path / "a.png", Samples(a, u, {"net": p}, [domain]))
        ax = panels(drawn[-1])[2]
        shown = ax.images[0].get_array() if domain is box else ax.collections[0].get_array()
        np.testing.assert_allclose(shown, p[0][..., 3].T if domain is box else p[0])


def test_a_prediction_that_is_not_finite(tmp_path, drawn, generator):
    """It does not set the limits."""
    domains = [Grid((5, 4))]
    u = fields(generator, domains)
    p = u[0].clone()
    p[2, 2] = math.inf
    field_panel(tmp_path / "a.png", Samples(u, u, {"net": [p]}, domains))
    assert panels(drawn[0])[2].images[0].get_clim() == pytest.approx(
        (u[0].min().item(), u[0].max().item())
    )
