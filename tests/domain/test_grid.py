"""Where nodes lie, what they integrate, and which waves they determine."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.domain import Boundary, Grid, Placement, Series

# placement, a boundary it goes with, nodes of 4 on [0, 2]
PLACEMENTS = [
    ("left", "periodic", [0.0, 0.5, 1.0, 1.5]),
    ("endpoints", "dirichlet", [0.0, 2 / 3, 4 / 3, 2.0]),
    ("interior", "dirichlet", [0.4, 0.8, 1.2, 1.6]),
    ("centers", "neumann", [0.25, 0.75, 1.25, 1.75]),
    ("centers", "periodic", [0.25, 0.75, 1.25, 1.75]),
]


@pytest.mark.parametrize(("placement", "boundary", "nodes"), PLACEMENTS)
def test_nodes_lie_where_the_placement_says(placement, boundary, nodes):
    grid = Grid((4,), 2.0, boundary, placement)
    assert grid.axis(0).tolist() == pytest.approx(nodes, abs=1e-15)
    assert grid.cells[0] * grid.spacing[0] == pytest.approx(2.0)
    assert grid.offset[0] * grid.spacing[0] == pytest.approx(nodes[0])


@pytest.mark.parametrize(
    ("grid", "text"),
    [
        (
            Grid((511, 511), placement="interior"),
            "511 x 511 nodes, [0, 1] x [0, 1], dirichlet, interior",
        ),
        (
            Grid((65, 64), (1.0, 0.1), ("neumann", "periodic")),
            "65 x 64 nodes, [0, 1] x [0, 0.1], neumann x periodic, endpoints x left",
        ),
        (Grid((8,), 1e-9, "periodic", "centers"), "8 nodes, [0, 1e-09], periodic, centers"),
    ],
)
def test_errors_name_a_grid_in_words(grid, text):
    assert str(grid) == f"{grid}" == text
    assert "Grid(" in repr(grid)


def test_grids_that_differ_read_differently():
    """A message that says expected and got never says the same twice."""
    grids = [Grid((n,), L, b, p) for n in (4, 5) for L in (1, 1 + 1e-15) for p, b, _ in PLACEMENTS]
    grids += [Grid((4,) * d) for d in (2, 3)]
    grids += [Grid((4, 4), 1, b) for b in (("dirichlet", "neumann"), ("neumann", "dirichlet"))]
    assert len({str(g) for g in grids}) == len(set(grids)) == len(grids)


def test_nodes_have_one_channel_per_axis():
    grid = Grid((3, 5), (1.0, 2.0))
    x, y = grid.nodes()
    assert torch.equal(x[:, 0], grid.axis(0))
    assert torch.equal(y[1], grid.axis(1))


def integrate(f, n, boundary, placement):
    grid = Grid((n,), 1.0, boundary, placement)
    return (grid.quadrature() * f(grid.axis(0))).sum().item()


@pytest.mark.parametrize(
    ("boundary", "placement", "f", "exact"),
    [
        ("dirichlet", "endpoints", torch.exp, math.e - 1),
        ("neumann", "centers", torch.exp, math.e - 1),
        ("dirichlet", "interior", lambda x: x * (1 - x) * torch.exp(x), 3 - math.e),
    ],
)
def test_quadrature_is_second_order(boundary, placement, f, exact):
    errors = [abs(integrate(f, n, boundary, placement) - exact) for n in (20, 40, 80)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([2, 2], abs=0.12)  # n doubles, h nearly


def test_quadrature_of_a_periodic_function_is_exact_until_it_aliases():
    def wave(k):
        return integrate(lambda x: torch.cos(2 * math.pi * k * x), 8, "periodic", "left")

    assert [wave(k) for k in (1, 3, 7)] == pytest.approx([0, 0, 0], abs=1e-15)
    assert wave(8) == pytest.approx(1)  # indistinguishable from a constant on 8 nodes


def test_default_series_represent_any_field_of_the_grid():
    grid = Grid(
        (8, 9, 7, 6),
        boundary=("periodic", "dirichlet", "dirichlet", "neumann"),
        placement=("left", "endpoints", "interior", "centers"),
    )
    assert grid.series() == (Series.FOURIER, Series.COSINE, Series.SINE, Series.COSINE)


def test_wavenumbers():
    periodic = Grid((5,), 2.0, "periodic").wavenumbers()[0]
    assert (periodic / math.pi).tolist() == pytest.approx([0, 1, 2, -2, -1])
    ends = Grid((5,), 2.0)
    assert (ends.wavenumbers()[0] * 2 / math.pi).tolist() == pytest.approx([0, 1, 2, 3, 4])
    assert (ends.wavenumbers("sine")[0] * 2 / math.pi).tolist() == pytest.approx([1, 2, 3])
    sines = ends.interior.wavenumbers()[0]
    assert torch.equal(sines, ends.wavenumbers("sine")[0])


@pytest.mark.parametrize(
    ("grid", "series", "message"),
    [
        (Grid((8,)), "fourier", "endpoints.*fourier.*Use 'sine' or 'cosine'"),
        (Grid((8,), boundary="periodic"), "sine", "left.*sine.*Use 'fourier'"),
        (Grid((8,), placement="interior"), "cosine", "interior.*cosine.*Use 'sine'"),
        (Grid((2,)), "sine", "2 nodes"),
        (Grid((8, 8)), ["sine"], "one per axis"),
        (Grid((8,)), "wavelet", "fourier, sine, cosine"),
    ],
)
def test_a_series_that_the_nodes_do_not_determine_is_refused(grid, series, message):
    with pytest.raises(ValueError, match=message):
        grid.wavenumbers(series)


def test_refined_grids_nest():
    for placement, boundary in [("left", "periodic"), ("endpoints", "dirichlet")]:
        coarse = Grid((9,), 3.0, boundary, placement)
        fine = coarse.refined(2)
        assert torch.equal(fine.axis(0)[::2], coarse.axis(0))
    inside = Grid((7,), placement="interior")
    assert torch.allclose(inside.refined(2).axis(0)[1::2], inside.axis(0), rtol=0, atol=1e-15)
    assert Grid((65, 33)).refined(2).shape == (129, 65)


def test_interior_drops_stored_dirichlet_ends_only():
    grid = Grid((9, 8, 7), (1.0, 2.0, 3.0), ("dirichlet", "periodic", "neumann"))
    inside = grid.interior
    assert inside.shape == (7, 8, 7)
    assert inside.placement == (Placement.INTERIOR, Placement.LEFT, Placement.ENDPOINTS)
    assert torch.allclose(inside.axis(0), grid.axis(0)[1:-1], rtol=0, atol=1e-15)
    assert inside.interior == inside


def test_the_outermost_nodes_are_the_edge_of_the_box():
    mask = Grid((4, 6)).outermost()
    assert mask.sum() == 2 * (4 + 6) - 4
    assert not mask[1:-1, 1:-1].any()
    assert not Grid((4, 6), boundary="periodic").outermost().any()


@pytest.mark.parametrize(("placement", "boundary", "nodes"), PLACEMENTS)
def test_dict_round_trip(placement, boundary, nodes):
    grid = Grid((4, 5), (2.0, 0.3), boundary, placement)
    again = Grid.from_dict(grid.to_dict())
    assert again == grid
    assert hash(again) == hash(grid)
    assert type(again.boundary[0]) is Boundary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": ()}, "at least one axis"),
        ({"shape": (0,), "placement": "centers"}, "at least 1"),
        ({"shape": (1,)}, "at least 2"),
        ({"shape": (8,), "extent": 0.0}, "positive finite extent"),
        ({"shape": (8,), "extent": math.nan}, "positive finite extent"),
        ({"shape": (8, 8), "extent": (1.0, 1.0, 1.0)}, "one per axis"),
        ({"shape": (8,), "boundary": "reflecting"}, "periodic, dirichlet, neumann"),
        ({"shape": (8,), "boundary": "periodic", "placement": "endpoints"}, "one point"),
        ({"shape": (8,), "placement": "left"}, "one end only"),
        ({"shape": (8,), "boundary": "neumann", "placement": "interior"}, "unknowns"),
    ],
)
def test_axes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Grid(**arguments)


@pytest.mark.parametrize("shape", [(3, 5, 4), (5,), (2, 1, 4, 4)])
def test_check_refuses_another_shape(shape):
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 4, 5\).*got"):
        Grid((4, 5)).check(torch.zeros(shape))
