"""How a model with an axis of time gets its times: from the data, and from the user of its run."""

from pathlib import Path

import pytest
import torch

from pdeops.datasets.windows import Window
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer
from pdeops.tasks import evaluate, load_recipe, load_run, train
from pdeops.tasks.operators import fit_scales, window_times
from pdeops.tasks.rollout import RolloutRun

from .trajectories import DT, advected

RECIPE = {
    "task": "rollout",
    "name": "small",
    "data": {"train": "train", "test": "test", "validation": 4, "window": {"n_in": 3, "n_out": 4}},
    "model": {
        "name": "SpatiotemporalFNO",
        "n_modes": [12],
        "hidden_channels": 8,
        "n_layers": 2,
        "mlp_channels": 8,
    },
    "optimizer": {"name": "AdamW", "lr": 1e-2},
    "training": {"epochs": 6, "batch_size": 16},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny trained run, three frames to four."""
    files = {"train": advected(24, 11), "test": advected(6, 11, seed=1)}
    with pytest.MonkeyPatch.context() as patch:
        for module in ("data", "operators"):
            name = f"pdeops.tasks.{module}.open_dataset"
            patch.setattr(name, lambda path: files[Path(path).name])
        torch.set_num_threads(1)
        folder = tmp_path_factory.mktemp("stfno") / "run"
        train(load_recipe(RECIPE), out=folder, device="cpu")
        found = load_run(folder)
        yield found, evaluate(found), files["test"]


def test_trained_by_the_rollout_task(run):
    found, report, _ = run
    model = found.operator.model
    assert model.times_in == pytest.approx([-2 * DT, -DT, 0])
    assert model.times_out == pytest.approx([DT, 2 * DT, 3 * DT, 4 * DT])
    assert len(report["times"]) == 8
    assert report["relative_l2"] < 0.4 * report["persistence"]


def test_other_frames_times_and_resolutions(run):
    """One function of time and space, whatever frames it is evaluated at, over several windows."""
    found, _, test = run
    u = test.u[:, :3]
    y = found(u, 10)
    assert y.shape == (6, 10, 1, 32)
    times = [DT * k for k in range(1, 11)]
    torch.testing.assert_close(found(u, times=times), y, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found(u, times=times[1::2]), y[:, 1::2], rtol=1e-4, atol=1e-4)
    finer = advected(6, 3, n=64, seed=1).u
    torch.testing.assert_close(found(finer, 10)[..., ::2], y, rtol=1e-4, atol=1e-4)
    five = advected(6, 5, seed=1).u  # two older frames, which lie before the window
    torch.testing.assert_close(found(five, 4), found(five[:, 2:], 4), rtol=1e-5, atol=1e-5)
    # the same instants, one more frame between
    half = found(torch.cat([u[:, :1], u], 1), 4, times_in=[-2.5 * DT, -2 * DT, -DT, 0.0])
    torch.testing.assert_close(half, y[:, :4], rtol=1e-4, atol=1e-4)


def test_the_windows_of_a_run_are_those_of_its_rollout(run):
    """Repeated steps from the last predicted frames give what one call for all times gives."""
    from pdeops.tasks.unrolling import roll_out

    found, _, test = run
    u = test.u[:, :3]
    with torch.no_grad():
        expected = roll_out(found.operator, u, 10)
    torch.testing.assert_close(found(u, 10), expected, rtol=1e-4, atol=1e-4)


def test_times_that_do_not_fit_are_refused(run):
    found, _, test = run
    with pytest.raises(ValueError, match="either num_frames or times"):
        found(test.u[:, :3])
    with pytest.raises(ValueError, match="3 polynomials in time"):
        found(test.u[:, :2], 4)
    with pytest.raises(ValueError, match="positive and increasing"):
        found(test.u[:, :3], times=[0.2, 0.1])
    recipe = load_recipe({**RECIPE, "model": {"name": "FNO", "n_modes": [8]}})
    identity = Normalizer.identity(1)
    one_step = RolloutRun(
        Path("run"),
        recipe,
        Operator(torch.nn.Conv1d(1, 1, 1), identity, identity, n_in=1, n_out=1),
        test.domain, None, 1, 1, 1,
    )  # fmt: skip
    with pytest.raises(ValueError, match="fixed time step"):
        one_step(test.u[:, :1], times=[0.1])


def test_times_of_windows():
    """Relative to the last input frame, with the stride; uneven frames depend on the window."""
    data = advected(2, 9).windowed(Window(2, 3, stride=2))
    found = window_times(data, "model")
    assert found["times_in"] == pytest.approx([-2 * DT, 0])
    assert found["times_out"] == pytest.approx([2 * DT, 4 * DT, 6 * DT])

    class Uneven(type(data)):
        times = (0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)

    uneven = Uneven(data.u, data.domain, Window(2, 2))
    with pytest.raises(ValueError, match="not equally spaced"):
        window_times(uneven, "SpatiotemporalFNO")
    whole = Uneven(data.u, data.domain, Window.whole(9, 2))
    assert window_times(whole, "model")["times_out"][2] == pytest.approx(0.4)

    class Untimed(type(data)):
        times = ()

    untimed = Untimed(data.u, data.domain, Window(2, 2))
    assert window_times(untimed, "model") == {"times_in": [-1.0, 0.0], "times_out": [1.0, 2.0]}


def test_components_of_a_solenoidal_field_share_one_scale(generator):
    """Otherwise the projection would act on stretched components."""
    data = advected(4, 5)
    u = torch.cat([data.u, 3 * data.u], 2)
    vectors = type(data)(u, data.domain, names=("u", "v"))
    model = torch.nn.Identity()
    both, _ = fit_scales(Operator(model, *[Normalizer.identity(2)] * 2), vectors)
    assert both.std[1].item() == pytest.approx(3 * both.std[0].item())
    model.divergence_free = True
    shared, _ = fit_scales(Operator(model, *[Normalizer.identity(2)] * 2), vectors)
    assert shared.std.tolist() == pytest.approx([both.std.square().mean().sqrt().item()] * 2)
