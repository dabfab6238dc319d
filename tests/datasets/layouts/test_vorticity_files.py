"""Files of vorticity: FNO's Navier-Stokes files and those of torch-cfd."""

import numpy as np
import pytest
import torch

from pdeops.datasets import convert, open_dataset
from pdeops.domain import Grid

from . import public_files as public
from .public_files import T, X, Y, wave


class TestFNO:
    def test_a_is_the_first_frame_and_u_alone_may_be_named(self, tmp_path):
        public.fno_navier_stokes(tmp_path / "d")
        data = open_dataset(tmp_path / "d")
        assert any("the first frame of u is a, at time 0" in note for note in data.notes)
        alone = open_dataset(tmp_path / "d", states=["u"], axes="sample,x,y,time")
        assert alone.times == tuple(range(1, T + 1))
        pairs = open_dataset(
            tmp_path / "d",
            inputs=["a"],
            targets=["u"],
            axes={"a": "sample,x,y", "u": "sample,x,y,time"},
        )
        assert torch.equal(pairs.read([2]).target, data.read([2]).target)
        assert torch.equal(pairs.read([2]).input, data.read([2]).input[:, 0])

    def test_without_times_frames_are_counted_and_with_others_refused(self, tmp_path):
        u = np.moveaxis(wave(), 1, -1)
        public.mat5(tmp_path / "d", {"a": u[..., 0] + 1, "u": u})
        data = open_dataset(tmp_path / "d")
        assert data.times == tuple(range(T + 1))
        assert any("counted from 0" in note for note in data.notes)
        public.mat5(tmp_path / "e", {"a": u[..., 0], "u": u, "t": np.arange(3.0)})
        with pytest.raises(ValueError, match=r"u in .* has 5 frames after a, and t has 3 times"):
            open_dataset(tmp_path / "e")

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_a_is_not_read_where_it_is_the_first_frame_of_u(self, tmp_path, dtype):
        u = np.moveaxis(wave(), 1, -1)
        public.mat5(tmp_path / "d", {"a": u[..., 0].astype(dtype), "u": u})
        data = open_dataset(tmp_path / "d")
        assert data.times == tuple(range(T))
        assert any("first frame of u is equal to a" in note for note in data.notes)
        np.testing.assert_array_equal(data.read([1]).target[0, :, 0], np.moveaxis(u[1], -1, 0)[1:])
        other = u[..., 0].copy()
        other[-1, 0, 0] += 1  # one node of the last sample
        public.mat5(tmp_path / "e", {"a": other, "u": u})
        data = open_dataset(tmp_path / "e")
        assert data.times == tuple(range(T + 1))
        np.testing.assert_array_equal(data.read([1]).target[0, :, 0], np.moveaxis(u[1], -1, 0))

    def test_a_first_time_of_zero_makes_a_superfluous(self, tmp_path):
        u = np.moveaxis(wave(), 1, -1)
        public.mat5(tmp_path / "d", {"a": u[..., 0], "u": u, "t": np.arange(5.0)})
        data = open_dataset(tmp_path / "d")
        assert data.times == tuple(range(T))
        assert any("a is not read" in note for note in data.notes)

    def test_another_boundary_brings_its_placement(self, tmp_path):
        public.fno_navier_stokes(tmp_path / "d")
        data = open_dataset(tmp_path / "d", grid={"boundary": "neumann"})
        assert data.domain == Grid((X, Y), boundary="neumann")

    def test_the_viscosity_is_not_in_the_file(self, tmp_path):
        public.fno_navier_stokes(tmp_path / "V1e-3.mat")  # nor is it taken from the name
        message = r"does not state the parameter 'viscosity'.*--parameter viscosity="
        with pytest.raises(ValueError, match=message):
            open_dataset(tmp_path / "V1e-3.mat").parameter("viscosity")
        given = {"viscosity": 1e-3}
        report = convert(tmp_path / "V1e-3.mat", tmp_path / "o.h5", parameters=given)
        assert report["parameters"] == given
        assert open_dataset(tmp_path / "o.h5").parameter("viscosity") == 1e-3


class TestTorchCFD:
    given = ({"extent": 1.0}, range(T))

    def test_box_and_times_are_asked_for(self, tmp_path):
        public.torch_cfd(tmp_path / "d")
        with pytest.raises(ValueError, match=r"extent and times.*--extent \.\.\. --times \.\.\.$"):
            open_dataset(tmp_path / "d")
        report = convert(tmp_path / "d", tmp_path / "o.h5", grid={"extent": 2.0}, times=range(T))
        assert (report["states"], report["times"]) == (["vorticity"], [*range(T)])
        data = open_dataset(tmp_path / "o.h5")
        assert data.domain == Grid((X, X), 2.0, "periodic")
        np.testing.assert_array_equal(data.read([2]).target[0, :, 0], wave(shape=(X, X))[2, 1:])

    def test_derived_fields_are_read_if_named(self, tmp_path):
        public.torch_cfd(tmp_path / "d")
        grid, times = self.given
        states = ["vorticity", "stream"]
        data = open_dataset(tmp_path / "d", states=states, grid=grid, times=times)
        assert data.targets == ("vorticity", "stream")

    def test_older_files_have_the_time_last(self, tmp_path):
        u = torch.from_numpy(np.moveaxis(wave(shape=(X, X)), 1, -1))
        content = {"vorticity": u, "vorticity_t": u, "t_steps": torch.arange(T) / 4}
        torch.save(content, tmp_path / "d")
        data = open_dataset(tmp_path / "d", grid={"extent": 1.0})
        assert data.times == pytest.approx(np.arange(T) / 4)
        assert torch.equal(data.read([1]).target[0, :, 0], u[1, ..., 1:].movedim(-1, 0))

    def test_a_cube_of_nodes_and_times_is_ambiguous(self, tmp_path):
        u = torch.from_numpy(wave(times=X, shape=(X, X)))
        torch.save({"vorticity": u, "stream": u}, tmp_path / "d")
        with pytest.raises(ValueError, match="the lengths do not show which"):
            open_dataset(tmp_path / "d")
