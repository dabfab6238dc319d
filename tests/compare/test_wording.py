"""Figures are written with three digits and a unit."""

import pytest

from pdeops.compare.wording import grid_name, markdown_table, percent, seconds_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.2e-6, "4.20 µs"),
        (1.234e-3, "1.23 ms"),
        (0.0999, "99.9 ms"),
        (12.34, "12.3 s"),
        (599.0, "599 s"),
        (1234.0, "20.6 min"),
        (40_000.0, "11.1 h"),
        (0.0, "0 µs"),
        (float("inf"), "inf"),
    ],
)
def test_seconds(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.01234, "1.23 %"), (1.5, "150 %"), (1e-4, "0.0100 %"), (3.21e-9, "3.2e-07 %"), (0.0, "0 %")],
)
def test_percent(error, text):
    assert percent(error) == text


def test_grid_name():
    assert grid_name((65, 33)) == "65×33"


def test_a_bar_in_a_cell_does_not_split_it():
    assert markdown_table(["|b - A u|"], [["1"]]).splitlines()[0] == "| \\|b - A u\\| |"


def test_a_short_row_is_refused():
    with pytest.raises(ValueError, match="2 cells"):
        markdown_table(["a", "b"], [["1"]])
