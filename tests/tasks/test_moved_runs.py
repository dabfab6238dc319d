"""A run is resumed, evaluated and continued from any folder, and after it was moved."""

import json
import shutil

import numpy as np
import pytest
import torch

import pdeops
from pdeops.tasks import evaluate, load_recipe, load_run, recipe_of, resume, train

TABLES = {
    "name": "moved",
    "data": {"train": "d.npz", "test": "t.npz", "validation": "v.npz"},
    "model": {"name": "FNO", "n_modes": [2, 2], "hidden_channels": 4, "n_layers": 1},
    "training": {"epochs": 1, "batch_size": 2},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data and a run, trained from it with relative paths."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("place") / "project"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, samples in (("d", 4), ("v", 2), ("t", 2)):
        a = random.standard_normal((samples, 8, 6)).astype("f4")
        np.savez(folder / f"{name}.npz", a=a, u=a - 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(load_recipe(TABLES), out="runs/one", device="cpu")
    return folder


@pytest.fixture
def project(made, tmp_path):
    """A copy, so that the folder in which the run was trained does not exist."""
    made.rename(tmp_path / "project")
    yield tmp_path / "project"
    shutil.move(tmp_path / "project", made)


def test_from_another_working_directory(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made / "runs" / "one"
    assert evaluate(load_run(run))["samples"] == 2
    assert resume(run, device="cpu")["reason"] == "finished"
    data = recipe_of(run).data
    assert [data.train, data.test, data.validation] == [
        str(made / name) for name in ("d.npz", "t.npz", "v.npz")
    ]


def test_moved_with_its_data(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = project / "runs" / "one"
    assert recipe_of(run).data.train == str(project / "d.npz")
    assert evaluate(load_run(run))["samples"] == 2
    assert resume(run, device="cpu")["reason"] == "finished"


def test_moved_without_its_data(made, tmp_path):
    run = shutil.copytree(made / "runs" / "one", tmp_path / "elsewhere")
    assert recipe_of(run).data.train == str(made / "d.npz")
    assert evaluate(load_run(run))["samples"] == 2


def test_data_that_are_gone_are_named(project, tmp_path):
    """With what to do: the run's recipe can be edited."""
    run = project / "runs" / "one"
    train_file = project / "d.npz"
    train_file.rename(tmp_path / "other.npz")
    try:
        with pytest.raises(FileNotFoundError, match=r"d\.npz.*change its path in .*recipe\.toml"):
            resume(run, device="cpu")
    finally:
        (tmp_path / "other.npz").rename(train_file)


def test_a_file_of_that_name_elsewhere_is_not_taken(project, tmp_path, monkeypatch):
    """Neither the working directory nor a parent folder is searched."""
    run = shutil.copytree(project / "runs" / "one", tmp_path / "alone" / "runs" / "one")
    np.savez(tmp_path / "d.npz", a=np.zeros((3, 8, 6)), u=np.zeros((3, 8, 6)))
    monkeypatch.chdir(tmp_path)
    assert not recipe_of(run).data.train.startswith(str(tmp_path))


def test_the_hash_of_a_recipe_does_not_depend_on_the_folder(made):
    """The same recipe, trained in two places, has one hash; the stored paths are absolute."""
    recipe = load_recipe(TABLES)
    assert recipe.data.train == "d.npz"
    assert json.loads((made / "runs/one/environment.json").read_text())["folder"] == str(
        made / "runs" / "one"
    )


def test_home_in_paths(made, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe({**TABLES, "data": {"train": "~/d.npz", "validation": 2}})
    out = train(recipe, out="~/runs/two", device="cpu")["run"]
    assert out == str(made / "runs" / "two")
    assert recipe_of("~/runs/two").data.train == str(made / "d.npz")
    assert evaluate(load_run("~/runs/two"), "~/t.npz")["samples"] == 2
    assert len(pdeops.open_dataset("~/d.npz")) == 4
    pdeops.predict(load_run("~/runs/two"), "~/t.npz", "~/p.h5")
    assert (made / "p.h5").is_file()
    shutil.rmtree(made / "runs" / "two")
    (made / "p.h5").unlink()
    assert not list(tmp_path.iterdir())
