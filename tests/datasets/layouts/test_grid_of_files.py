"""Grids of foreign files: from the caller, from coordinates, or assumed; axes with names."""

import numpy as np
import pytest

from pdeops.datasets import inspect, open_dataset
from pdeops.domain import Grid

from . import foreign_files as files
from .foreign_files import SHAPE, place


class TestGrid:
    """Given by the caller, else from coordinates, else assumed with a note."""

    def open(self, path, x, y, **more):
        files.netcdf4(path, {"k": place(), "p": place()}, x=x, y=y)
        return open_dataset(path, inputs=["k"], targets=["p"], **more)

    def test_coordinates_of_nodes_and_of_cells(self, tmp_path):
        data = self.open(tmp_path / "a", np.linspace(0, 1, 5), (np.arange(7) + 0.5) / 7 * 2)
        assert data.domain == Grid((5, 7), extent=(1.0, 2.0), placement=("endpoints", "centers"))
        assert len(data.notes) == 1
        assert "boundary condition is not in the file" in data.notes[0]

    def test_coordinates_of_a_periodic_box_and_of_inner_nodes(self, tmp_path):
        x, y = np.arange(5) / 5 * 3, np.arange(1, 8) / 8
        data = self.open(tmp_path / "a", x, y, grid={"boundary": ["periodic", "dirichlet"]})
        assert data.domain.boundary == ("periodic", "dirichlet")
        assert data.domain.placement == ("left", "interior")
        assert data.domain.extent == pytest.approx((3.0, 1.0))
        assert data.notes == ()

    def test_a_box_that_does_not_begin_at_zero_is_shifted_with_a_note(self, tmp_path):
        data = self.open(tmp_path / "a", np.linspace(-1, 1, 5), np.linspace(0, 1, 7))
        assert data.domain.extent == (2.0, 1.0)
        assert any("x begins at -1" in note for note in data.notes)

    def test_coordinates_that_are_not_uniform_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"'x' of .* are not uniform.*0.0625 to 0.4375"):
            self.open(tmp_path / "a", np.linspace(0, 1, 5) ** 2, np.linspace(0, 1, 7))
        given = Grid((5, 7))
        assert open_dataset(tmp_path / "a", inputs=["k"], targets=["p"], grid=given).domain == given

    def test_assumptions_are_noted(self, tmp_path):
        files.npz(tmp_path / "a", {"k": place(), "p": place()})
        data = open_dataset(tmp_path / "a", inputs=["k"], targets=["p"])
        assert data.domain == Grid(SHAPE[1:])
        for word in ("boundary condition", "how long", "where its nodes lie"):
            assert any(word in note for note in data.notes)

    def test_a_grid_of_another_shape_or_an_unknown_argument_is_refused(self, tmp_path):
        files.npz(tmp_path / "a", {"coeff": place(), "sol": place()})
        with pytest.raises(ValueError, match=r"\(\.\.\., 7, 5\) on this grid; got \(5, 7\)"):
            open_dataset(tmp_path / "a", grid=Grid((7, 5)))
        with pytest.raises(ValueError, match=r"no 'bondary'. Did you mean 'boundary'"):
            open_dataset(tmp_path / "a", grid={"bondary": "periodic"})


class TestNamedAxes:
    def test_dimension_names_give_the_order(self, tmp_path):
        files.netcdf4(
            tmp_path / "a", {"coeff": place(), "sol": place(2.0)}, dims=("y", "batch", "x")
        )
        data = open_dataset(tmp_path / "a")
        assert (len(data), data.domain.shape) == (5, (7, 4))
        np.testing.assert_array_equal(data.read([3]).target[0, 0], place(2.0)[:, 3].T)

    def test_axes_of_other_names_are_read_in_their_order_with_a_note(self, tmp_path):
        files.netcdf3(tmp_path / "a", {"k": place(), "p": place()}, dims=("run", "lat", "lon"))
        data = open_dataset(tmp_path / "a", inputs=["k"], targets=["p"])
        assert data.domain.shape == SHAPE[1:]
        assert "axes of k: run as sample, by their order" in data.notes
        assert "axes of k: lat is x, lon is y, by their names" in data.notes

    def test_scale_offset_and_fill_values_are_applied(self, tmp_path):
        import xarray

        values = np.where(place() == 0, np.nan, place() / 4 + 3)
        data = xarray.Dataset(
            {"coeff": (("sample", "x", "y"), values), "sol": (("sample", "x", "y"), place())}
        )
        packed = {"dtype": "int16", "scale_factor": 0.25, "add_offset": 3.0, "_FillValue": -1}
        data.to_netcdf(tmp_path / "a", engine="h5netcdf", encoding={"coeff": packed})
        read = open_dataset(tmp_path / "a").read(range(4)).input[:, 0]
        np.testing.assert_array_equal(read, values.astype("f4"))
        assert inspect(tmp_path / "a")["fields"]["coeff"]["not_finite"] == 1
