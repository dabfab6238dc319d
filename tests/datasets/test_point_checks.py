"""Bad points, weights, masks and cells: each error names the sample and the row."""

import pytest
import torch

from pdeops.datasets import DatasetSpec, Field, PointSample
from pdeops.datasets.point_checks import check_cells, check_cloud, check_mask
from pdeops.domain import Points

NAN = float("nan")
SQUARE = torch.tensor([[0.0, 1, 1, 0, 2], [0, 0, 1, 1, 0]]).double()
BOX = [[0.0, 0.0], [2.0, 1.0]]


def moved(row, *values):
    x = SQUARE.clone()
    x[:, row] = torch.tensor(values)
    return x


CLOUDS = {
    "empty": (SQUARE[:, :0], {}, "Sample 3 has no points"),
    "dimension": (SQUARE[:1], {}, r"positions of sample 3 must have shape \(2, points\)"),
    "NaN": (moved(2, NAN, 1.0), {}, r"of sample 3.*first is point 2 with \[nan, 1.0\]"),
    "outside": (moved(4, 2.5, 0.0), {}, r"1 of 5 points of sample 3 .*point 4 at \[2.5, 0.0\]"),
    "negative weight": (SQUARE, {"weights": torch.tensor([1, 1, 1, -1.0, 1])}, "-1 at point 3"),
    "infinite weight": (
        SQUARE,
        {"weights": torch.tensor([1, 1, float("inf"), 1, 1])},
        "inf at point 2",
    ),
    "no weight": (SQUARE, {"weights": torch.zeros(5)}, "positive sum; sample 3"),
    "few weights": (SQUARE, {"weights": torch.ones(4)}, r"\(5,\), one entry for each.*got \(4,\)"),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_bad_clouds(name):
    positions, members, message = CLOUDS[name]
    with pytest.raises(ValueError, match=message):
        check_cloud(positions, 2, BOX, "sample 3", **members)


def test_sound_clouds_pass():
    check_cloud(SQUARE, 2, BOX, "sample 3", weights=torch.tensor([0, 1.0, 0, 0, 0]))
    check_cloud(SQUARE * (1 + 1e-7), 2, BOX, "sample 3")  # corners rounded to float32
    check_cloud(moved(4, 9.0, 9.0), 2, None, "sample 3")


CELLS = {
    "beyond": ([[0, 1, 2], [0, 2, 5]], r"points 0..4 .*cell 1 of sample 0 names \[0, 2, 5\]"),
    "negative": ([[0, 1, -1]], "cell 0 of sample 0"),
    "flat": ([[0, 1, 2], [0, 1, 4]], r"1 of 2 cells of sample 0 are degenerate.*cell 1"),
    "repeated": ([[0, 1, 1]], "cell 0 with the points"),
    "inverted": ([[0, 1, 2], [0, 2, 3], [1, 2, 4]], r"1 of 3 cells .* inverted.*cell 2"),
    "crossed": ([[0, 1, 2, 3], [0, 1, 3, 2]], r"cell 1 with the points \[0, 1, 3, 2\]"),
    "five corners": ([[0, 1, 2, 3, 4]], "Split other cells"),
}


@pytest.mark.parametrize("name", CELLS)
def test_bad_cells(name):
    cells, message = CELLS[name]
    with pytest.raises(ValueError, match=message):
        check_cells(SQUARE, torch.tensor(cells), "sample 0")


def test_sound_cells_pass():
    for cells in ([[0, 1, 2], [0, 2, 3]], [[2, 1, 0], [3, 2, 0]], [[0, 1, 2, 3]]):
        check_cells(SQUARE, torch.tensor(cells), "sample 0")
    thin = torch.tensor([[0.0, 1, 1, 0], [0, 0, 1e-7, 1e-7]]).double()  # a boundary layer
    check_cells(thin, torch.tensor([[0, 1, 2, 3]]), "sample 0")
    flat = thin * torch.tensor([[1.0], [1e-7]])
    for scale in (1e-6, 1.0, 1e6):  # units of length do not matter
        check_cells(scale * thin, torch.tensor([[0, 1, 2, 3]]), "sample 0")
        with pytest.raises(ValueError, match="degenerate"):
            check_cells(scale * flat, torch.tensor([[0, 1, 2, 3]]), "sample 0")
    surface = torch.cat([SQUARE, SQUARE[:1]])
    check_cells(surface, torch.tensor([[0, 1, 2], [0, 3, 2]]), "sample 0")  # no orientation


@pytest.mark.parametrize(
    ("mask", "message"),
    [([True] * 4, r"mask of sample 1 must have shape \(5,\).*got \(4,\)"), ([False] * 5, "false")],
)
def test_masks_that_do_not_fit(mask, message):
    with pytest.raises(ValueError, match=message):
        check_mask(torch.tensor(mask), 5, "sample 1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"u": torch.zeros(4)}, r"u of sample 2 must have shape \(5,\) on its 5 points"),
        ({"u": torch.tensor([0, 1, 2, NAN, 4])}, r"not finite in u; the first is point 3"),
        ({"u": torch.zeros(5), "r": torch.tensor(NAN)}, "parameter r of sample 2 is nan"),
    ],
)
def test_fields_of_a_sample(fields, message):
    described = (Field("u", "target", "u"), Field("r", "parameter", "r"))
    spec = DatasetSpec("e", "k", "none", described, Points(2, box=BOX), {}, None, 3)
    with pytest.raises(ValueError, match=message):
        PointSample(fields, SQUARE).rows(spec, 2)
