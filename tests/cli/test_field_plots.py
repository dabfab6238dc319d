"""`pdeops predict --plot` and `evaluate --plot` of fields: on a grid, on points, and of frames."""

import numpy as np
import pytest
import torch
from matplotlib.collections import TriMesh
from matplotlib.figure import Figure

from pdeops.datasets import open_dataset, problem_named
from pdeops.datasets.layouts.points_file import PointSample, write_points
from pdeops.datasets.spec import DatasetSpec, Field
from pdeops.domain import Points
from pdeops.tasks import load_recipe, train

from .conftest import SMALL_FNO, train_rollout

ON_POINTS = """
task = "supervised"
[data]
train = "{file}"
test = "{file}"
validation = 1
[model]
name = "Transolver"
hidden_channels = 8
num_heads = 2
num_slices = 4
n_layers = 1
[training]
epochs = 1
"""
CELLS = torch.tensor([[0, 1, 2], [1, 3, 2]])


@pytest.fixture
def drawn(monkeypatch):
    """Path -> the figure that was written there."""
    figures, write = {}, Figure.savefig

    def savefig(figure, path, **options):
        figures[path] = figure
        write(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_label() != "<colorbar>"]


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    """Meshes of two triangles with 4 and 5 nodes, u = x, and a run."""
    folder, generator = tmp_path_factory.mktemp("meshes"), torch.Generator().manual_seed(0)
    samples = []
    for n in (4, 5, 4, 5):
        x = torch.rand(2, n, generator=generator, dtype=torch.float64) / 9
        x[:, :4] += torch.tensor([[0.0, 0.8, 0.0, 0.8], [0.0, 0.0, 0.8, 0.8]])
        samples.append(PointSample({"u": x[0]}, x, cells=CELLS))
    spec = DatasetSpec(
        name="meshes", kind="test", equation="u = x", fields=(Field("u", "target", "u"),),
        domain=Points(2, box=[[0, 0], [1, 1]]), parameters={}, num_samples=4, seed=None,
        source="test", licence="CC0",
    )  # fmt: skip
    write_points(folder / "meshes.h5", spec, samples)
    recipe = folder / "recipe.toml"
    recipe.write_text(ON_POINTS.format(file=folder / "meshes.h5"))
    torch.set_num_threads(1)
    train(load_recipe(recipe), out=folder / "run", device="cpu")
    return folder


@pytest.mark.slow
def test_predictions_on_meshes(pdeops, meshes, drawn, tmp_path):
    out, plot = tmp_path / "out.h5", tmp_path / "out.png"
    file = meshes / "meshes.h5"
    done = pdeops("predict", meshes / "run", "--data", file, "--out", out, "--plot", plot)
    assert done.status == 0, done.stderr
    shown = [c for ax in drawn[plot].axes for c in ax.collections if isinstance(c, TriMesh)]
    assert [len(c.get_paths()) for c in shown] == [2] * 9  # truth, prediction, error of 3 samples
    assert titles(drawn[plot])[:3] == ["points", "u", "Transolver"]
    for i in range(3):
        truth, prediction = (open_dataset(f).read([i]).target[0, 0] for f in (file, out))
        np.testing.assert_allclose(shown[3 * i].get_array(), truth)
        np.testing.assert_allclose(shown[3 * i + 1].get_array(), prediction)


@pytest.mark.slow
def test_evaluation_on_meshes(pdeops, meshes, drawn, tmp_path):
    done = pdeops("evaluate", meshes / "run", "--plot-folder", tmp_path)
    assert done.status == 0, done.stderr
    (figure,) = drawn.values()
    assert list(drawn) == [tmp_path / "fields.png"]
    assert titles(figure)[:3] == ["points", "u", "Transolver"]


def test_predictions_on_a_grid(pdeops, workshop, drawn, tmp_path):
    out, plot = tmp_path / "out.h5", tmp_path / "out.pdf"
    done = pdeops("predict", workshop.run, "--data", workshop.test, "--out", out, "--plot", plot)
    assert done.status == 0, done.stderr
    assert titles(drawn[plot])[:3] == ["permeability", "pressure", "FNO"]
    images = [ax.images[0] for ax in drawn[plot].axes if ax.get_title() == "FNO"]
    np.testing.assert_allclose(images[0].get_array(), open_dataset(out).read([0]).target[0, 0].T)


@pytest.mark.slow
def test_predicted_frames(pdeops, drawn, tmp_path):
    """The first input frame, and truth and prediction at the last predicted time."""
    problem = problem_named("burgers", "thin", num_waves=4, t_end=0.1, num_frames=5)
    model = SMALL_FNO.replace("[4, 4]", "[4]")
    data = "window = {n_in = 1, n_out = 1, stride = 2}"
    folder = train_rollout(tmp_path, "flow.h5", problem, (16,), samples=3, model=model, data=data)
    out, plot = tmp_path / "out.h5", tmp_path / "out.png"
    flow = folder / "flow.h5"
    done = pdeops("predict", folder / "run", "--data", flow, "--out", out, "--plot", plot)
    assert done.status == 0, done.stderr
    _, truth, predicted, error = drawn[plot].axes[:4]
    whole = open_dataset(flow).read([0]).target[0, :, 0]
    assert len(whole) == 5  # frames 2 and 4 are predicted, and the target begins at frame 1
    np.testing.assert_allclose(truth.lines[0].get_ydata(), whole[3])
    assert error.get_title().startswith("error of FNO")
    last = open_dataset(out).read([0]).target[0, -1, 0]
    np.testing.assert_allclose(predicted.lines[0].get_ydata(), last)


def test_a_format_that_is_not_drawn(pdeops, workshop, tmp_path):
    out = tmp_path / "out.h5"
    done = pdeops(
        *("predict", workshop.run, "--data", workshop.test, "--out", out, "--plot", "a.foo")
    )
    assert done.status == 1
    assert ".png, .pdf, .svg; got the suffix .foo" in done.stderr
    assert not out.exists()
