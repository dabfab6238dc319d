"""The registry of tasks, and runs of other versions."""

import json
import shutil

import pytest
import torch

import pdeops
from pdeops.tasks import TASKS, load_recipe, load_run, recipe_of, task_of, train
from pdeops.tasks.task import Task, TrainingRecipe
from pdeops.training.checkpoint import CheckpointError

RECIPE = {
    "task": "preconditioner",
    "name": "small",
    "systems": {"name": "PoissonSystems", "shapes": [[8, 8]], "num_samples": 4},
    "model": {"name": "DeepConjugate", "widths": [4, 4], "features": 4},
    "objective": {"name": "ConjugateDirection", "steps": 1},
    "training": {"epochs": 1, "batch_size": 4},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "small"
    train(load_recipe(RECIPE), out=folder, device="cpu")
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_whole(name):
    task = TASKS[name]
    assert isinstance(task, Task)
    assert task.name == task.recipe.task == name
    assert task.summary
    assert issubclass(task.recipe, TrainingRecipe)
    assert {"model", "optimizer", "schedule", "training"} <= set(task.recipe.tables())
    with pytest.raises(ValueError, match="needs a table"):
        task.recipe.from_dict({"task": name})


def test_a_run_knows_its_task(run):
    assert task_of(run).name == task_of(run / "checkpoints" / "best.pt").name == "preconditioner"
    assert task_of("vcycle_darcy").name == "preconditioner"
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert (state["format_version"], state["carry"]["task"]) == (2, "preconditioner")
    assert json.loads((run / "environment.json").read_text())["format_version"] == 2
    assert recipe_of(run) == load_recipe(run / "recipe.toml")


def test_a_checkpoint_of_an_unknown_task_names_the_nearest(run):
    file = run / "checkpoints" / "best.pt"
    state = torch.load(file, weights_only=True)
    state["carry"]["task"] = "preconditoner"
    torch.save(state, file)
    with pytest.raises(ValueError, match=r"Unknown task 'preconditoner'.*'preconditioner'"):
        load_run(run)


def test_a_checkpoint_of_version_1_is_refused(run):
    """As the version before tasks wrote it."""
    for name in ("best", "last"):
        file = run / "checkpoints" / f"{name}.pt"
        state = torch.load(file, weights_only=True)
        model = state["carry"]["model"]
        state["carry"] = {"correction": model["name"], "arguments": model["arguments"], "ndim": 2}
        torch.save({**state, "format_version": 1}, file)
    wanted = r"format version 1; this pdeops reads version 2\. .*train again"
    for load in (load_run, pdeops.load_correction, pdeops.resume):
        with pytest.raises(CheckpointError, match=wanted):
            load(run)


@pytest.mark.parametrize("verb", [load_run, pdeops.resume, recipe_of, task_of])
def test_a_run_folder_of_version_1_is_refused(run, verb):
    """Its recipe names no task."""
    file = run / "recipe.toml"
    file.write_text(file.read_text().replace('task = "preconditioner"\n', ""))
    with pytest.raises(ValueError, match=r"of format version 1; .* reads version 2\..*train again"):
        verb(run)


def test_a_run_folder_of_a_later_version_is_refused(run):
    file = run / "environment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format_version": 3}))
    with pytest.raises(ValueError, match=r"of format version 3; .* reads version 2"):
        load_run(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{oops", r"environment.json must be a JSON object.*Expecting property name"),
        ("[2]", r"must be a JSON object.*got list.*or delete it"),
    ],
)
def test_a_damaged_environment_is_named(run, text, message):
    (run / "environment.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_run(run)
    (run / "environment.json").unlink()
    assert load_run(run)


DAMAGE = {
    "no carry": (lambda s: s.pop("carry"), "no entry 'carry'.*it was edited"),
    "carry is text": (lambda s: s.update(carry="FNO"), "no entry 'carry'"),
    "no weights": (lambda s: s.pop("model"), "no entry 'model'.*it was edited"),
    "no model": (lambda s: s["carry"].pop("model"), "the entry 'model' is missing"),
    "no arguments": (lambda s: s["carry"]["model"].pop("arguments"), "'arguments' is missing"),
    "unknown model": (
        lambda s: s["carry"]["model"].update(name="DeepConjugat"),
        "the model 'DeepConjugat', which .* Did you mean 'DeepConjugate'",
    ),
    "other weights": (
        lambda s: s["carry"]["model"]["arguments"].update(features=8),
        "weights in the checkpoint of .* do not fit the network that it describes .*size mismatch",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_edited_checkpoint_is_named(run, damage):
    change, message = DAMAGE[damage]
    file = run / "checkpoints" / "best.pt"
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load_run(run)


def test_the_best_weights_are_no_state_to_resume(run):
    checkpoints = run / "checkpoints"
    shutil.copy(checkpoints / "best.pt", checkpoints / "last.pt")
    with pytest.raises(CheckpointError, match=r"no entry optimizer, .*a copy of best.pt.*Restore"):
        pdeops.resume(run)


def test_old_keys_in_a_run_folder_are_refused(run):
    file = run / "recipe.toml"
    file.write_text(file.read_text().replace("num_samples", "number"))
    with pytest.raises(ValueError, match=r"recipe of .*run.*Unknown key 'number' in \[systems\]"):
        load_run(run)
