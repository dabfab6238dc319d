"""Recipes: strict, typed, and the same after writing and reading."""

import tomllib
from importlib import resources

import pytest
import torch

from pdeops.datasets.windows import Window
from pdeops.domain import Grid
from pdeops.models import MODELS
from pdeops.nn.parameters import num_parameters
from pdeops.runs.recipe import shipped_recipes
from pdeops.tasks import load_recipe

MINIMAL = {"data": {"train": "train.h5"}, "model": {"name": "FNO", "n_modes": [8, 8]}}


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipe_loads_and_survives_writing(name, tmp_path):
    recipe = load_recipe(name)
    assert load_recipe(name.removesuffix(".toml")) == recipe
    file = tmp_path / "recipe.toml"
    file.write_text(recipe.to_toml())
    assert load_recipe(file) == recipe
    assert load_recipe(file).digest == recipe.digest


def test_a_file_wins_over_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "fno_darcy16.toml"
    (tmp_path / name).write_text(load_recipe(name).to_toml().replace("seed = 0", "seed = 5"))
    assert load_recipe(name).seed == 5
    assert load_recipe(f"configs/{name}").seed == 0


@pytest.mark.parametrize("text", ["1e-3", "0.001", "1.0E-3"])
def test_a_float_stays_a_float(text, tmp_path):
    file = tmp_path / "r.toml"
    file.write_text(
        f'[data]\ntrain = "t"\n[model]\nname = "FNO"\nn_modes = [8, 8]\n'
        f'[optimizer]\nname = "AdamW"\nlr = {text}\n'
    )
    assert load_recipe(file).optimizer.arguments["lr"] == 0.001
    overridden = load_recipe("fno_darcy16", [f"optimizer.lr={text}"])
    assert overridden.optimizer.arguments["lr"] == 0.001
    assert isinstance(overridden.optimizer.arguments["lr"], float)


def test_an_integer_may_stand_for_a_float_but_not_the_reverse():
    recipe = load_recipe({**MINIMAL, "optimizer": {"name": "AdamW", "lr": 1}})
    assert recipe.optimizer.arguments["lr"] == 1.0
    with pytest.raises(ValueError, match=r"training\.epochs must be of type int; got 2\.5"):
        load_recipe({**MINIMAL, "training": {"epochs": 2.5}})


def test_defaults_are_written_out():
    plain = tomllib.loads(load_recipe(MINIMAL).to_toml())
    assert plain["training"]["batch_size"] > 0
    assert plain["optimizer"]["lr"] > 0
    assert "hidden_channels" in plain["model"]


def test_digest_sees_every_value():
    base = load_recipe("fno_darcy16")
    for override in ("seed=1", "optimizer.lr=1e-5", "data.validation=7", "model.hidden_channels=6"):
        assert load_recipe("fno_darcy16", [override]).digest != base.digest


def test_validation_keeps_its_kind():
    for value in (100, 0.1, "file.h5"):
        data = {"train": "t", "validation": value}
        got = load_recipe({**MINIMAL, "data": data}).data.validation
        assert got == value
        assert type(got) is type(value)


def test_another_class_drops_the_arguments_of_the_first():
    recipe = load_recipe("fno_darcy16", ["optimizer.name=Adam"])
    assert recipe.optimizer.name == "Adam"
    recipe = load_recipe("fno_darcy16", ["model.name=MgNO", "model.hidden_channels=6"])
    assert recipe.model.name == "MgNO"
    assert "n_modes" not in recipe.model.arguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"epoch": 3}}, "Unknown key 'epoch'.*Did you mean 'epochs'"),
        ({"optimiser": {"name": "AdamW"}}, "Unknown key 'optimiser'.*Did you mean 'optimizer'"),
        ({"model": {"name": "FN0", "n_modes": [8, 8]}}, "Unknown model 'FN0'.*Did you mean 'FNO'"),
        ({"model": {"name": "FNO", "n_mode": [8, 8]}}, "Unknown key 'n_mode'.*'n_modes'"),
        ({"model": {"n_modes": [8, 8]}}, r"\[model\] needs a name"),
        ({"optimizer": {"name": "AdamW", "lr": "fast"}}, r"optimizer\.lr must be of type float"),
        ({"optimizer": {"name": "AdamW", "lr": True}}, r"optimizer\.lr must be of type float"),
        ({"data": {"test": "t.h5"}}, r"data\.train is missing"),
        ({"data": "train.h5"}, r"needs a table \[data\]"),
        ({"data": {"train": "t.h5", "validation": 0}}, r"data\.validation .* above 0; got 0"),
        ({"data": {"train": "t.h5", "samples": 0}}, r"data\.samples must be at least 1"),
    ],
)
def test_a_wrong_recipe_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        load_recipe({**MINIMAL, **change})


@pytest.mark.parametrize("override", ["lr", "=3", "optimizer..lr=3", "seed.x=3"])
def test_a_malformed_override_is_refused(override):
    with pytest.raises(ValueError, match="verride"):
        load_recipe("fno_darcy16", [override])


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ValueError, match=r"Did you mean 'fno_darcy16\.toml'"):
        load_recipe("fno_darci16")


def test_broken_toml_names_the_file(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text("name = \n")
    with pytest.raises(ValueError, match=r"broken\.toml"):
        load_recipe(file)


def test_the_task_decides_which_tables_a_recipe_has():
    recipe = load_recipe("dcdm_poisson", ["systems.walls=0.1", "objective.steps=2"])
    assert recipe.task == "preconditioner"
    assert recipe.systems.arguments["walls"] == 0.1
    assert recipe.objective.arguments == {"steps": 2, "measure": "energy"}
    assert "seed" not in recipe.systems.arguments  # the run's own
    assert load_recipe("fno_darcy16").task == load_recipe(MINIMAL).task == "supervised"
    with pytest.raises(ValueError, match="Unknown key 'systems' in recipe"):
        load_recipe({**MINIMAL, "systems": {"name": "PoissonSystems"}})
    with pytest.raises(ValueError, match=r"systems\.walls must be of type float"):
        load_recipe("dcdm_poisson", ["systems.walls=many"])
    with pytest.raises(ValueError, match=r"Unknown model 'FNO'.*Choose from DeepConjugate"):
        load_recipe("dcdm_poisson", ["model.name=FNO"])
    systems = {"task": "preconditioner", "systems": {"name": "PoissonSystems"}, "model": {}}
    with pytest.raises(ValueError, match=r"needs a table \[objective\]"):
        load_recipe(systems)
    with pytest.raises(ValueError, match=r"objective\.measure must be of type str; got 2"):
        load_recipe("dcdm_poisson", ["objective.measure=2"])


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(ValueError, match=r"Unknown task 'rolout'.*Did you mean 'rollout'"):
        load_recipe({**MINIMAL, "task": "rolout"})
    with pytest.raises(ValueError, match=r"Unknown task 3.*Choose from supervised, rollout"):
        load_recipe({**MINIMAL, "task": 3})


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_say_their_task(name):
    text = (resources.files("pdeops.configs") / name).read_text(encoding="utf-8")
    assert tomllib.loads(text)["task"] == load_recipe(name).task


def test_a_table_may_hold_a_table(tmp_path):
    """A window, written inline and set by an override; its keys are checked as all others."""
    data = {"train": "t", "window": {"n_in": 2, "n_out": 3}}
    recipe = load_recipe({**MINIMAL, "data": data})
    assert recipe.data.window == Window(2, 3, 1)
    (tmp_path / "r.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "r.toml") == recipe
    assert load_recipe(tmp_path / "r.toml", ["data.window.stride=4"]).data.window.stride == 4
    with pytest.raises(ValueError, match=r"Unknown key 'n_int' in \[data\.window\].*'n_in'"):
        load_recipe({**MINIMAL, "data": {"train": "t", "window": {"n_int": 2}}})
    with pytest.raises(ValueError, match=r"data\.window\.n_in must be of type int; got 2\.5"):
        load_recipe({**MINIMAL, "data": {"train": "t", "window": {"n_in": 2.5}}})
    with pytest.raises(ValueError, match=r"data\.window must be of type .*Window.*; got 3"):
        load_recipe({**MINIMAL, "data": {"train": "t", "window": 3}})


SIZED = """
size = "cpu"
[data]
train = "t"
[model]
name = "FNO"
n_modes = [8, 8]
[sizes.cpu]
"training.epochs" = 3
[sizes.gpu]
"training.epochs" = 50
"model.hidden_channels" = 64
"""


def test_one_key_sets_the_size(tmp_path):
    """Overrides win over the size, and the written recipe holds values and no sizes."""
    file = tmp_path / "r.toml"
    file.write_text(SIZED)
    assert load_recipe(file).training.epochs == 3
    large = load_recipe(file, ["size=gpu", "training.epochs=7"])
    assert large.training.epochs == 7
    assert large.model.arguments["hidden_channels"] == 64
    assert "\nsize" not in large.to_toml()
    with pytest.raises(ValueError, match=r"no size 'gpuu'\. Did you mean 'gpu'.*cpu, gpu"):
        load_recipe(file, ["size=gpuu"])
    with pytest.raises(ValueError, match="no size 'cpu'"):
        load_recipe("fno_darcy16", ["size=cpu"])


def sizes(name):
    """The sizes of a shipped recipe; none if it has one size only."""
    text = (resources.files("pdeops.configs") / name).read_text(encoding="utf-8")
    return list(tomllib.loads(text).get("sizes", {}))


@pytest.mark.parametrize("name", [n for n in shipped_recipes() if sizes(n)])
def test_every_size_of_a_shipped_recipe_loads(name):
    for size in sizes(name):
        assert load_recipe(name, [f"size={size}"]).training.epochs > 0


@pytest.mark.parametrize(
    ("name", "channels", "shape", "parameters"),
    [
        ("lsm_darcy85.toml", (1, 1), (85, 85), 19_187_457),
        ("lsm_ns1e-5.toml", (10, 1), (64, 64), 19_188_033),
        ("lsm_elasticity41.toml", (1, 1), (41, 41), 4_812_801),
        ("lsm_airfoil.toml", (2, 1), (221, 51), 4_812_833),
        ("lsm_pipe.toml", (2, 1), (129, 129), 10_804_913),
        ("lsm_plasticity.toml", (1, 4), (101, 31, 20), 13_457_828),
    ],
)
def test_recipes_of_lsm_build_its_networks(name, channels, shape, parameters):
    """The published size has the number of parameters of the authors; every size fits the grid."""
    for size in sizes(name):
        chosen = load_recipe(name, [f"size={size}"]).model
        with torch.device("meta"):
            model = MODELS[chosen.name](*channels, Grid(shape), **chosen.arguments)
        assert model.grid.shape == shape
        if size == "published":
            assert num_parameters(model) == parameters
