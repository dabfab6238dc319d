"""Files of The Well: absent axes, parameters, boundaries and coordinates."""

import h5py
import numpy as np
import pytest
import torch

from pdeops.datasets import inspect, open_dataset
from pdeops.domain import Sphere

from . import public_files as public
from .public_files import N, T, X, Y, wave


class TestTheWell:
    def test_fields_that_do_not_vary_in_time_are_inputs(self, tmp_path):
        public.the_well(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert data.inputs[len(data.targets) :] == ("mask", "wall")
        u, fixed = wave(), data.read([2]).input[0, 0, -2:]
        np.testing.assert_array_equal(fixed[0], u[2, 0])
        np.testing.assert_array_equal(fixed[1], np.broadcast_to(u[0, 0, :, :1], (X, Y)))

    def test_parameters_and_scalars(self, tmp_path):
        public.the_well(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert data.parameter("Reynolds") == 100.0
        assert data.parameter("gamma") == pytest.approx(1.4)
        np.testing.assert_allclose(data.read([2, 0]).parameters, [[0.3], [0.1]], rtol=1e-6)
        assert any("scalars/forcing (5,) changes in time" in note for note in data.notes)
        assert (
            inspect(tmp_path / "d")["parameters"]["viscosity"] == "0.1 to 0.3, one for each sample"
        )

    def test_walls_are_no_boundary_condition_of_all_fields(self, tmp_path):
        public.the_well(tmp_path / "d", sides=("WALL", "periodic"))
        with pytest.raises(ValueError, match=r"the file states x wall, y periodic"):
            open_dataset(tmp_path / "d")
        given = {"boundary": ["neumann", "periodic"], "placement": ["centers", "left"]}
        assert open_dataset(tmp_path / "d", grid=given).domain.boundary == ("neumann", "periodic")

    def test_attributes_that_do_not_fit_the_array_are_refused(self, tmp_path):
        public.the_well(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            file["t0_fields/profile"].attrs["dim_varying"] = [False, True]
        with pytest.raises(ValueError, match=r"profile \(3, 5, 8\) .* must have the axes of 3 sam"):
            open_dataset(tmp_path / "d")

    def test_attributes_may_be_absent_where_an_array_has_all_axes(self, tmp_path):
        """As The Well's own writer of dummy data does."""
        public.the_well(tmp_path / "d")
        expected = open_dataset(tmp_path / "d", states=["density", "velocity"]).read([1])
        with h5py.File(tmp_path / "d", "r+") as file:
            del file.attrs["n_trajectories"], file["dimensions"].attrs["spatial_dims"]
            for name in ("t0_fields/density", "t1_fields/velocity"):
                for key in list(file[name].attrs):
                    del file[name].attrs[key]
        got = open_dataset(tmp_path / "d", states=["density", "t1_fields/velocity"]).read([1])
        assert torch.equal(got.target, expected.target)

    def test_times_of_each_sample_are_read_if_they_agree(self, tmp_path):
        public.the_well(tmp_path / "d")
        with h5py.File(tmp_path / "d", "r+") as file:
            del file["dimensions/time"]
            file["dimensions/time"] = np.tile(np.arange(T) / 10, (N, 1))
        assert open_dataset(tmp_path / "d").times == pytest.approx(np.arange(T) / 10)
        with h5py.File(tmp_path / "d", "r+") as file:
            file["dimensions/time"][1, -1] = 7.0
        with pytest.raises(ValueError, match="differ between samples"):
            open_dataset(tmp_path / "d")

    def test_components_have_the_order_of_the_axes(self, tmp_path):
        """A file with the axes y, x stores v_y before v_x, and yy before yx, xy, xx."""
        public.the_well(tmp_path / "a")
        first = open_dataset(tmp_path / "a")
        expected = first.read([2]).target
        first.source.store.release()
        public.the_well(tmp_path / "b", sides=("WALL", "periodic"))
        for name in "ab":
            with h5py.File(tmp_path / name, "r+") as file:
                file["dimensions"].attrs["spatial_dims"] = ["y", "x"]
                for path in ("t0_fields/density", "t1_fields/velocity", "t2_fields/stress"):
                    attributes, u = dict(file[path].attrs), np.swapaxes(file[path][()], 2, 3)
                    del file[path]
                    # The components change places with the axes.
                    file[path] = u[(..., *(slice(None, None, -1),) * int(path[1]))]
                    file[path].attrs.update(attributes)
                for group, names in (
                    ("t0_fields", "mask mean profile wall"),
                    ("t2_fields", "strain"),
                ):
                    for field in names.split():
                        del file[f"{group}/{field}"]
        data = open_dataset(tmp_path / "a")
        assert data.domain == first.domain
        stress = tuple(f"stress_{c}" for c in ("xx", "xy", "yx", "yy"))
        assert data.targets == ("density", "velocity_x", "velocity_y", *stress)
        channels = [first.targets.index(name) for name in data.targets]
        assert torch.equal(data.read([2]).target, expected[:, :, channels])
        with pytest.raises(ValueError, match=r"the file states x wall, y periodic"):
            open_dataset(tmp_path / "b")

    def test_other_coordinates_than_cartesian_ones(self, tmp_path):
        public.the_well(tmp_path / "d")
        sphere = Sphere((X, Y))
        with h5py.File(tmp_path / "d", "r+") as file:
            file.attrs["grid_type"] = "equiangular"
            file["dimensions"].attrs["spatial_dims"] = ["theta", "phi"]
            for i, (old, name) in enumerate(zip("xy", ("theta", "phi"), strict=True)):
                del file[f"dimensions/{old}"]
                file[f"dimensions/{name}"] = sphere.axis(i)
        data = open_dataset(tmp_path / "d")
        assert data.domain == sphere
        assert not any("dimensions" in row for row in inspect(tmp_path / "d")["other_arrays"])
        np.testing.assert_array_equal(data.read([1]).target[0, :, 0], wave()[1, 1:])
        data.source.store.release()
        with h5py.File(tmp_path / "d", "r+") as file:
            file["dimensions/theta"][:] = np.geomspace(1, 2, X)
        with pytest.raises(ValueError, match="is equiangular, with the axes theta, phi: give"):
            open_dataset(tmp_path / "d")
