"""Models named by their path: trained, kept with the run, loaded again, refused with a reason."""

import shutil
import sys

import pytest
import torch

import pdeops
from pdeops.tasks import evaluate, load_recipe, load_run, resume, train

from .trajectories import advected

SOURCE = '''
"""A model of the user's own."""

import torch
from torch import nn


class Net(nn.Module):
    """Two convolutions."""

    def __init__(self, in_channels, out_channels, grid, *, width: int = 4, kernel_size: int = 3):
        super().__init__()
        self.first = nn.Conv1d(in_channels, width, kernel_size, padding="same", bias=False)
        self.second = nn.Conv1d(width, out_channels, kernel_size, padding="same")

    def forward(self, u):
        return self.second(torch.tanh(self.first(u)))


class Scaled(nn.Module):
    """A network inside a solver: a multiple of the residual."""

    def __init__(self, ndim, *, start: float = 1.0):
        super().__init__()
        self.ndim, self.scale = ndim, nn.Parameter(torch.tensor(start))

    def at(self, faces):
        return lambda r: self.scale * r

    def on(self, A):
        return lambda r: self.scale.detach() * r


class Stranger(nn.Module):
    def __init__(self, width):
        super().__init__()


class NotATorchModule:
    pass


number = 3
'''
SMALL = {
    "task": "rollout",
    "data": {"train": "train", "validation": 2},
    "training": {"epochs": 2, "batch_size": 16},
}


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "nets" / "my_nets.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    return file


@pytest.fixture
def module(source, monkeypatch):
    """The same as an importable module."""
    monkeypatch.syspath_prepend(source.parent)
    yield "my_nets"
    sys.modules.pop("my_nets", None)


def recipe(name, **arguments):
    return load_recipe({**SMALL, "model": {"name": name, **arguments}})


def test_a_file_is_kept_with_the_run(files, source, tmp_path):
    """The original goes, the folder moves: the run still loads, evaluates and resumes."""
    files["train"] = advected(8, 5)
    out = tmp_path / "run"
    train(recipe(f"{source}:Net", width=6), out=out, device="cpu")
    before = evaluate(load_run(out), files["train"])
    assert (out / "model" / "my_nets.py").read_text() == SOURCE
    source.unlink()
    moved = shutil.move(out, tmp_path / "moved")
    run = load_run(moved)
    assert run.operator.model.model.first.out_channels == 6
    assert evaluate(run, files["train"]) == before
    assert resume(moved)["epochs"] == 2
    assert load_run(moved, weights="last").recipe.model.arguments == {"width": 6, "kernel_size": 3}


def test_a_copy_that_changed_or_went_is_refused(files, source, tmp_path):
    files["train"] = advected(8, 5)
    out = tmp_path / "run"
    train(recipe(f"{source}:Net"), out=out, device="cpu")
    copy = out / "model" / "my_nets.py"
    copy.write_text(SOURCE.replace("tanh", "sin"))  # the same weights, another function
    with pytest.raises(ValueError, match=r"has changed since the run was trained: its sha256 was"):
        load_run(out)
    with pytest.raises(ValueError, match=r"was trained with the model .* now describes"):
        resume(out)
    copy.unlink()
    with pytest.raises(ValueError, match=r"my_nets\.py, which is missing.*Copy it there again"):
        load_run(out)


def test_a_module_is_found_again_by_its_name(files, source, module, tmp_path):
    files["train"] = advected(8, 5)
    out = tmp_path / "run"
    train(recipe(f"{module}:Net"), out=out, device="cpu")
    assert not (out / "model").exists()
    assert load_run(out).operator.model.model.first.out_channels == 4
    source.write_text(SOURCE.replace("tanh", "sin"))
    with pytest.raises(ValueError, match=r"source of my_nets:Net has changed.*Restore the old"):
        load_run(out)
    source.unlink()
    del sys.modules[module]
    with pytest.raises(ValueError, match=r"my_nets does not import \(ModuleNotFoundError"):
        load_run(out)


def test_a_network_inside_a_solver_of_the_users_own(source, tmp_path):
    plain = {
        "task": "preconditioner",
        "systems": {"name": "PoissonSystems", "shapes": [[8, 8]], "num_samples": 4},
        "model": {"name": f"{source}:Scaled", "start": 0.5},
        "objective": {"name": "ConjugateDirection", "steps": 1},
        "training": {"epochs": 1, "batch_size": 4},
    }
    train(load_recipe(plain), out=tmp_path / "run", device="cpu")
    source.unlink()
    network = pdeops.load_correction(tmp_path / "run")
    assert network.on(None)(torch.ones(2)).shape == (2,)
    checkpoint = tmp_path / "run" / "checkpoints" / "best.pt"
    assert torch.equal(pdeops.load_correction(checkpoint).scale, network.scale)


def test_arguments_are_checked_as_those_of_ours(source):
    with pytest.raises(ValueError, match=r"Unknown key 'widht' in \[model\].*Did you mean 'width'"):
        recipe(f"{source}:Net", widht=3)
    with pytest.raises(ValueError, match=r"model\.width must be of type int; got 'wide'"):
        recipe(f"{source}:Net", width="wide")
    with pytest.raises(ValueError, match="Unknown key 'grid'"):
        recipe(f"{source}:Net", grid=3)
    assert recipe(f"{source}:Net").model.arguments == {"width": 4, "kernel_size": 3}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{folder}/none.py:Net", r"none\.py does not import \(FileNotFoundError.*Check the path"),
        ("{folder}/broken.py:Net", r"broken\.py does not import \(ZeroDivisionError"),
        ("{folder}/leaves.py:Net", r"leaves\.py does not import \(SystemExit: 3"),
        ("no_such_package.nets:Net", r"does not import \(ModuleNotFoundError.*Install the package"),
        ("{file}:Nett", r"has no attribute 'Nett'\. Did you mean 'Net'\? Its torch modules: Net"),
        ("{file}:number", r"must be a class of torch\.nn\.Module; got 3"),
        ("{file}:NotATorchModule", r"must be a class of torch\.nn\.Module; got <class"),
        ("{file}:Stranger", r"must begin with the arguments \(in_channels, out_channels, grid or"),
        ("{file}:Scaled", r"must begin with .*; it begins with \(ndim, start\)"),
        ("{file}:", "named module:Class or file.py:Class"),
        (":Net", "named module:Class or file.py:Class"),
    ],
)
def test_a_path_that_is_no_model_is_refused(source, name, message):
    (source.parent / "broken.py").write_text("1 / 0\n")
    (source.parent / "leaves.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ValueError, match=message):
        recipe(name.format(folder=source.parent, file=source))


def test_a_training_that_fails_leaves_no_copy(files, source, tmp_path):
    files["train"] = advected(8, 5)
    plain = {**SMALL, "model": {"name": f"{source}:Net"}}
    plain |= {"optimizer": {"name": "AdamW", "lr": 1e30}, "schedule": {"name": "Constant"}}
    out = tmp_path / "run"
    (out / "model").mkdir(parents=True)
    (out / "model" / "other.py").write_text("")
    with pytest.raises(ArithmeticError):
        train(load_recipe(plain), out=out, device="cpu")
    assert [p.name for p in (out / "model").iterdir()] == ["other.py"]
