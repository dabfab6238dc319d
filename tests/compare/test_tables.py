"""Figures are written with three digits and a unit; tables come back from a file as written."""

import pytest

from pdeops.compare.tables import (
    cell,
    grid_name,
    markdown_table,
    percent,
    read_csv,
    seconds_text,
    write_csv,
)


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


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.012345, "0.0123"), (12345.0, "1.23e+04"), (7, "7"), ("a", "a")],
)
def test_cells(value, text):
    assert cell(value) == text


def test_a_table_is_markdown():
    table = markdown_table(["method", "error"], [["FNO", 0.25], ["none", None]])
    assert table == "| method | error |\n|---|---|\n| FNO | 0.25 |\n| none | - |"


def test_rows_come_back_from_a_csv_file(tmp_path):
    file = tmp_path / "new" / "rows.csv"
    assert read_csv(file) == []
    assert (
        write_csv(file, [{"method": "ω, scaled", "runs": 3}, {"method": "", "runs": None}]) == file
    )
    assert read_csv(file) == [{"method": "ω, scaled", "runs": "3"}, {"method": "", "runs": ""}]
    assert file.read_bytes().count(b"\r") == 0


@pytest.mark.parametrize("rows", [[], [{"a": 1}, {"b": 1}], [{"a": 1}, {"a": 1, "b": 2}]])
def test_a_csv_file_has_one_set_of_columns(tmp_path, rows):
    with pytest.raises(ValueError, match="row"):
        write_csv(tmp_path / "rows.csv", rows)
    assert not list(tmp_path.iterdir())
