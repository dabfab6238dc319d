"""PDEBench's files: parameters, groups, and what is asked for or refused."""

import math

import h5py
import numpy as np
import pytest

from pdeops.datasets import Window, convert, inspect, open_dataset
from pdeops.datasets.containers.hdf5 import HDF5Store
from pdeops.domain import Grid

from . import public_files as public
from .public_files import T, X, Y, wave

LINE = Grid((X,), boundary="periodic", placement="centers")


class TestPDEBench:
    def test_parameters_and_equations_follow_from_the_attributes(self, tmp_path):
        public.burgers(tmp_path / "b")
        data = open_dataset(tmp_path / "b")
        assert data.parameter("viscosity") == pytest.approx(0.01 / math.pi, rel=1e-15)
        assert data.parameter("Nu") == 0.01
        assert any("x-coordinate begins at -0.875; the box is shifted" in n for n in data.notes)
        convert(tmp_path / "b", tmp_path / "o.h5")
        assert open_dataset(tmp_path / "o.h5").spec.equation.startswith("u_t + u u_x = viscosity")
        public.advection(tmp_path / "a")
        assert dict(open_dataset(tmp_path / "a").parameters) == {"beta": 0.4}
        public.incompressible(tmp_path / "i")
        assert dict(open_dataset(tmp_path / "i").parameters) == {"viscosity": 0.01}

    def test_an_unknown_equation_and_boundary_are_asked_for(self, tmp_path):
        public.flat(tmp_path / "d", {"tensor": public.line()}, {})
        with pytest.raises(ValueError, match=r"does not state its boundary.*--boundary \.\.\."):
            open_dataset(tmp_path / "d")
        given = {"boundary": ["periodic"]}
        assert open_dataset(tmp_path / "d", grid=given).domain == LINE

    def test_darcy(self, tmp_path):
        public.darcy(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert inspect(tmp_path / "d")["format"] == "PDEBench, flat"
        assert (data.inputs, data.targets, data.window) == (("nu",), ("tensor",), None)
        assert data.domain == Grid((X, Y), placement="centers")
        assert data.parameter("beta") == 1.0
        np.testing.assert_array_equal(data.read([1]).target[:, 0], wave(times=1, centers=True)[1])

    def test_the_settings_of_each_group_give_one_parameter_for_each_sample(self, tmp_path):
        public.shallow_water(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert data.parameter("gravity") == 1.0
        np.testing.assert_allclose(data.parameter("dam_radius"), [0.3, 0.4, 0.5])
        batch = data.windowed(Window(1, 1)).read([T - 1, 0])  # samples 1 and 0
        np.testing.assert_allclose(batch.parameters, [[0.4], [0.3]])
        assert "T_end" not in data.parameters

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda f: f.__delitem__("0001/data"), "'0001/data' in .* holds nothing"),
            (lambda f: f["0002/grid/t"].__setitem__(1, 0.3), "must have the same times.*0002/grid"),
        ],
    )
    def test_groups_that_differ_are_refused(self, tmp_path, change, message):
        public.reaction_diffusion_2d(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            change(file)
        with pytest.raises(ValueError, match=message):
            open_dataset(tmp_path / "d")

    def test_more_groups_than_are_listed_at_once(self, tmp_path, monkeypatch):
        monkeypatch.setattr(HDF5Store, "MAX_OBJECTS", 40)
        u = np.arange(30.0).reshape(30, 1, 1, 1, 1) + np.zeros((30, 2, 4, 3, 1))
        public.grouped(tmp_path / "d", u, 0.0, 1.0, "sim:\n  gravity: 1.0\n")
        data = open_dataset(tmp_path / "d")
        assert len(data) == 30
        assert data.read([29, 7]).target[:, 0, 0, 0, 0].tolist() == [29.0, 7.0]

    def test_a_force_is_an_input_and_a_subset_of_fields_may_be_chosen(self, tmp_path):
        public.incompressible(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert data.inputs == ("velocity_x", "velocity_y", "particles", "force_x", "force_y")
        force = data.read([1]).input[0, 0, 3:]
        np.testing.assert_array_equal(force[0], wave(centers=True)[1, 0] / 2)
        one = open_dataset(tmp_path / "d", states=["velocity"])
        assert one.inputs == one.targets == ("velocity_x", "velocity_y")

    def test_times_that_differ_between_samples_or_fields_are_refused(self, tmp_path):
        public.incompressible(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            file["t"][1, 2] += 1e-3
        with pytest.raises(ValueError, match="differ between samples"):
            open_dataset(tmp_path / "d")
        assert convert(tmp_path / "d", tmp_path / "o.h5", times=range(T))["times"] == [*range(T)]
        with h5py.File(tmp_path / "d", "r+") as file:
            u = file["particles"][:, ::2]
            del file["particles"], file["t"]
            file["particles"] = u
        with pytest.raises(ValueError, match="velocity has 5 frames; particles has 3 frames"):
            open_dataset(tmp_path / "d")
        assert len(open_dataset(tmp_path / "d", states=["velocity"]).times) == T

    def test_without_settings_box_and_boundary_are_asked_for(self, tmp_path):
        public.incompressible(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            del file.attrs["config"]
        with pytest.raises(ValueError, match="does not state its extent and boundary"):
            open_dataset(tmp_path / "d")
        given = {"extent": 1.0, "boundary": "dirichlet"}
        data = open_dataset(tmp_path / "d", grid=given)
        with pytest.raises(ValueError, match="does not state the parameter 'viscosity'"):
            data.parameter("viscosity")
