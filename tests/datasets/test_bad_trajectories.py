"""What the data cannot support: unequal steps, missing parameters, long horizons, NaN."""

import h5py
import numpy as np
import pytest
import torch

from pdeops.datasets import Window, convert, inspect, open_dataset
from pdeops.tasks.rollout import require_states

U = np.random.default_rng(0).standard_normal((4, 6, 8)).astype("f4")


def converted(path, u=U, times=range(6), **more):
    arrays = {"u": u, "t": np.array([*times], dtype=np.float64)}
    convert(arrays, path, states=["u"], axes="sample,time,x", grid={"boundary": "periodic"}, **more)
    return open_dataset(path)


def test_frames_with_unequal_steps_are_refused_by_a_rollout(tmp_path):
    data = converted(tmp_path / "a.h5", times=(0, 0.1, 0.2, 0.35, 0.4, 0.5))
    with pytest.raises(ValueError, match=r"equal time steps; got steps from 0\.05 to 0\.15"):
        require_states(data)
    require_states(converted(tmp_path / "b.h5", times=np.arange(6) / 10))
    rounded = (np.arange(6) / 10 + 30).astype("f4")
    assert converted(tmp_path / "c.h5", times=rounded).uniform_time_step() == pytest.approx(0.1)


def test_a_missing_viscosity_is_given_when_the_file_is_converted(tmp_path):
    data = converted(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"does not state the parameter 'viscosity'"):
        data.parameter("viscosity")
    data = converted(tmp_path / "b.h5", parameters={"viscosity": 0.01})
    assert data.parameter("viscosity") == 0.01
    assert inspect(tmp_path / "b.h5")["parameters"] == {"viscosity": 0.01}
    with pytest.raises(ValueError, match="Did you mean 'viscosity'"):
        data.parameter("viscosty")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_no_numbers_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match="viscosity must be a finite number; got"):
        converted(tmp_path / "a.h5", parameters={"viscosity": value})
    assert not list(tmp_path.iterdir())


def test_a_parameter_that_contradicts_the_file_is_refused(tmp_path):
    converted(tmp_path / "a.h5", parameters={"viscosity": 0.01})
    message = r"states the parameter viscosity = 0\.01; got 0\.02"
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "a.h5", tmp_path / "b.h5", states=["u"], parameters={"viscosity": 0.02})
    convert(tmp_path / "a.h5", tmp_path / "c.h5", states=["u"])
    assert open_dataset(tmp_path / "c.h5").parameter("viscosity") == 0.01


def test_a_parameter_may_differ_between_samples(tmp_path):
    nu = np.array([1e-3, 2e-3, 0, 4e-3])
    data = converted(tmp_path / "a.h5", parameters={"viscosity": nu, "drag": np.float64(0.5)})
    np.testing.assert_array_equal(data.parameter("viscosity"), nu)
    assert data.parameter("drag") == 0.5
    few = converted(tmp_path / "b.h5", parameters={"viscosity": nu.tolist()}, without=[1])
    np.testing.assert_array_equal(few.parameter("viscosity"), nu[[0, 2, 3]])
    source = tmp_path / "a.h5"
    convert(source, tmp_path / "c.h5", states=["u"], parameters={"viscosity": nu})
    np.testing.assert_array_equal(open_dataset(tmp_path / "c.h5").parameter("viscosity"), nu)
    for other in (nu + 1, 1e-3):
        with pytest.raises(ValueError, match="states the parameter viscosity"):
            convert(source, tmp_path / "d.h5", states=["u"], parameters={"viscosity": other})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "at least 0.*got -1"),
        ([1, 1, -0.5, 1], "at least 0.*got -0.5"),
        ([1, 1, np.nan, 1], "finite number; got nan"),
        ([1, 2, 3], r"array \(4,\) with one number for each sample.*got shape \(3,\)"),
        ([[1], [2, 3]], "must be a number, or one number for each sample"),
        ("1e-3", "must be a number.*got '1e-3'"),
        (None, "must be a number.*got None"),
    ],
)
def test_viscosities_that_no_equation_has_are_refused(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        converted(tmp_path / "a.h5", parameters={"viscosity": value})
    assert not list(tmp_path.iterdir())


def test_a_horizon_beyond_the_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"spans 12 frames, but a trajectory has 6"):
        converted(tmp_path / "a.h5").windowed(Window(2, 10))


def test_nan_in_one_frame_is_named_with_its_sample(tmp_path):
    u = U.copy()
    u[2, 3, 4] = np.nan
    with pytest.raises(ValueError, match=r"1 values that are not finite.*sample\(s\): 2"):
        converted(tmp_path / "a.h5", u=u)
    data = converted(tmp_path / "b.h5", u=u, allow_nan=True)
    with pytest.raises(ValueError, match=r"field 'u' in sample\(s\) 2"):
        data.check()


def test_parameters_of_each_sample_follow_the_samples(tmp_path):
    """Through views, copies in memory, batches and files."""
    from .layouts import public_files as public

    public.shallow_water(tmp_path / "d")
    convert(tmp_path / "d", tmp_path / "o.h5", without=[0])
    data = open_dataset(tmp_path / "o.h5")
    expected = np.array([0.4, 0.5])
    np.testing.assert_allclose(data.parameter("dam_radius"), expected)
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["dam_radius"].dims[0][0].name == "/sample"
        np.testing.assert_allclose(file["dam_radius"], expected)
    part = data.subset([1]).in_memory()
    np.testing.assert_allclose(part.parameter("dam_radius"), [0.5])
    assert part.parameter("gravity") == 1.0
    torch.testing.assert_close(part.read([0]).parameters, torch.tensor([[0.5]]))
