"""Time as an axis of the model's grid: the frames, and a run on a twin of plasticity."""

import pytest
import torch
from torch import nn

from pdeops.domain import Grid, Points
from pdeops.models import LSM
from pdeops.tasks import load_recipe, load_run, train
from pdeops.tasks.frames import FramesAsAxis, with_time_axis
from tests.datasets.layouts import point_files


class Growth(nn.Module):
    """(b, c, x, t) -> (b, 2, x, t): t + 1 times the sum of the channels, and its negative."""

    def forward(self, u):
        total = torch.arange(1.0, u.shape[-1] + 1) * u.sum(1)
        return torch.stack([total, -total], 1)


def test_entries_along_the_last_axis_are_frames(generator):
    x = torch.randn(2, 3, 5, generator=generator)
    y = FramesAsAxis(Growth(), None, 4)(x)
    assert y.shape == (2, 4, 2, 5)
    for k in range(4):
        torch.testing.assert_close(y[:, k, 0], (k + 1) * x.sum(1))
        torch.testing.assert_close(y[:, k, 1], -(k + 1) * x.sum(1))
    frames = torch.randn(2, 6, 3, 5, generator=generator)
    z = FramesAsAxis(Growth(), 6, 4)(frames)
    torch.testing.assert_close(z[:, 1, 0], 2 * frames.sum((1, 2)))


def test_the_grid_of_space_and_time():
    grid = Grid((8, 5), (2.0, 1.0), ("periodic", "dirichlet"))
    full = with_time_axis(grid, 4, "LSM")
    assert full == Grid((8, 5, 4), (2.0, 1.0, 1.0), ("periodic", "dirichlet", "neumann"))
    for domain, frames in ((grid, 1), (grid, None), (Points(2), 3)):
        with pytest.raises(ValueError, match="two frames to predict at least"):
            with_time_axis(domain, frames, "LSM")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe of plasticity, on a file like that of Geo-FNO and with a small network."""
    file = point_files.plasticity(tmp_path_factory.mktemp("plasticity") / "any.mat")
    small = {"hidden_channels": 8, "levels": 2, "patches": 1, "num_tokens": 1, "num_basis": 2}
    settings = {f"model.{name}": value for name, value in small.items()}
    settings |= {"data.train": f"'{file}'", "data.test": f"'{file}'", "data.samples": 4}
    settings |= {"data.validation": 1, "training.epochs": 1}
    return [f"{name}={value}" for name, value in settings.items()]


def test_a_network_on_three_axes_is_trained_and_loaded(recipe, tmp_path):
    train(load_recipe("lsm_plasticity", recipe), out=tmp_path / "run", device="cpu")
    run = load_run(tmp_path / "run")
    network = run.operator.model.model
    assert isinstance(network, LSM)
    assert network.grid == Grid((9, 4, 3), boundary="neumann")
    die = torch.rand(2, 1, 9, 4)
    y = run(die)
    scale, back = run.operator.input_normalizer, run.operator.output_normalizer.inverse
    with torch.no_grad():
        whole = network(scale(die)[..., None].expand(-1, -1, -1, -1, 3))
    for k in range(3):
        torch.testing.assert_close(y[:, k], back(whole[..., k]))
    assert (y[:, 2] - y[:, 0]).norm() > 1e-3 * y.norm()  # the position in time is known


def test_what_does_not_go_together_is_refused(recipe, tmp_path):
    for more, message in (
        ("data.average_symmetries=true", "got LSM and average_symmetries"),
        ("model.name=SpatiotemporalFNO", "models without an axis of time"),
    ):
        settings = recipe if "average" in more else [s for s in recipe if "model" not in s]
        changed = load_recipe("lsm_plasticity", [*settings, more])
        with pytest.raises(ValueError, match=message):
            train(changed, out=tmp_path / "run", device="cpu")
