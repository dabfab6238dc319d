"""The study at toy size, its commands run in this process: what is done is not done again."""

import shutil

import pytest

from benchmarks import study as module
from benchmarks import trainings
from benchmarks.bench import RESULTS
from benchmarks.study import STEP, STUDIES, Study, mean_and_range, seconds_per_epoch, study, table
from pdeops.compare.tables import read_csv, write_csv
from pdeops.tasks import load_recipe

RECIPE = """
name = "toy"

[data]
train = "absent"

[model]
name = "{model}"
n_modes = [4, 4]
hidden_channels = 4
n_layers = 2

[training]
batch_size = 4
"""


@pytest.fixture
def plan(tmp_path):
    """8 training samples on 16 x 16 nodes for our FNO and neuraloperator's TFNO."""
    recipes = []
    for model in ("FNO", "NeuralopTFNO"):
        path = tmp_path / f"{model}.toml"
        path.write_text(RECIPE.format(model=model))
        recipes.append(str(path))
    return Study("piecewise", tuple(recipes), resolution=16, training=8, validation=2, test=2)


@pytest.fixture
def calls(pdeops_here):
    """The verbs that were called; the command line runs here instead of in its own process."""
    return pdeops_here(module)


@pytest.fixture
def half_second_epochs(monkeypatch):
    """A rate that is not measured, half a second for each epoch; steps timed with one thread."""
    monkeypatch.setattr(module, "seconds_per_epoch", lambda *_: 0.5)
    monkeypatch.setattr(module, "STEP_THREADS", 1)


def run(plan, tmp_path, **changed):
    options = {"minutes": 0.025, "seeds": [0], "threads": 1, **changed}
    places = {"data": tmp_path / "data", "runs": tmp_path / "runs", "out": tmp_path / "s.csv"}
    return study(plan, **options, **places)


def test_trains_evaluates_and_writes_the_table(plan, tmp_path, calls, half_second_epochs):
    rows = run(plan, tmp_path)
    assert [row["model"] for row in rows] == ["FNO", "NeuralopTFNO"]
    assert {row["epochs"] for row in rows} == {"3"}  # 1.5 s in all
    assert all(float(row["relative_l2"]) > 0 for row in rows)
    markdown = (tmp_path / "s.md").read_text()
    assert markdown == table(rows)
    assert f"| {int(rows[0]['parameters']):,} | " in markdown
    done = list(calls)
    assert run(plan, tmp_path) == rows
    assert calls == done  # nothing is run twice


@pytest.mark.slow
def test_a_table_without_times_of_a_step_gets_them_without_a_training(
    plan, tmp_path, calls, half_second_epochs
):
    rows = run(plan, tmp_path)
    assert all(float(row[STEP]) > 0 for row in rows)
    older = [{name: cell for name, cell in row.items() if name != STEP} for row in rows]
    write_csv(tmp_path / "s.csv", older)
    shutil.rmtree(tmp_path / "data")
    calls.clear()
    filled = run(plan, tmp_path)
    assert calls == []
    assert [{**row, STEP: ""} for row in filled] == [{**row, STEP: ""} for row in rows]
    assert all(float(row[STEP]) > 0 for row in filled)
    milliseconds = f"| {1e3 * float(filled[1][STEP]):.0f} ms | 3 |"
    assert milliseconds in (tmp_path / "s.md").read_text()


@pytest.mark.slow
def test_goes_on_where_it_was_stopped(plan, tmp_path, calls, half_second_epochs, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "result", stop)
        with pytest.raises(KeyboardInterrupt):
            run(plan, tmp_path)
    assert not (tmp_path / "s.csv").exists()
    calls.clear()
    rows = run(plan, tmp_path)
    assert calls == ["resume", "evaluate", "train", "evaluate"]
    assert len(rows) == 2


def test_a_run_killed_before_its_first_checkpoint_starts_anew(
    plan, tmp_path, calls, half_second_epochs
):
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "recipe.toml").write_text("half written")
    plan.generate(tmp_path / "data")
    chosen = {**plan.settings(tmp_path / "data"), "training.epochs": 1}
    module.train(plan.recipes[0], folder, chosen, 1)
    assert (folder / "checkpoints" / "last.pt").exists()


@pytest.mark.slow
def test_seeds_share_a_rate_but_not_a_row(plan, tmp_path, calls, half_second_epochs):
    rows = run(Study(**{**vars(plan), "recipes": plan.recipes[:1]}), tmp_path, seeds=[0, 1])
    assert [row["seed"] for row in rows] == ["0", "1"]
    assert rows[0]["relative_l2"] != rows[1]["relative_l2"]
    assert len(list((tmp_path / "runs").glob("*.seconds_per_epoch"))) == 1
    assert table(rows).count("| 2 |") == 1


def test_the_rate_leaves_start_and_first_epoch_out(plan, tmp_path, monkeypatch):
    """Of 110 samples 11 are used; each epoch on them takes 2 s, the start 7 s."""
    seconds = 0.0
    seen = []

    def training(verb, recipe, *arguments, threads):
        nonlocal seconds
        settings = dict(a.removeprefix("--set=").split("=", 1) for a in arguments if "=" in a)
        seen.append((settings["data.samples"], settings["data.validation"], threads))
        seconds += 7 + 2 * int(settings["training.epochs"])

    monkeypatch.setattr(trainings, "pdeops", training)
    monkeypatch.setattr(trainings, "processor_seconds", lambda: seconds)
    larger = Study("piecewise", plan.recipes, training=100, validation=10)
    rate = seconds_per_epoch(larger, plan.recipes[0], {"seed": 3}, threads=2)
    assert rate == pytest.approx(20.0)
    assert seen == [("11", "1", 2)] * 2


def test_the_range_follows_the_mean():
    assert mean_and_range([0.0123]) == "1.230 %"
    assert mean_and_range([0.01, 0.02]) == "1.500 % (1.000 to 2.000)"


@pytest.mark.parametrize("page", ["docs/figures.md"])
def test_pages_show_the_results_as_they_are(page):
    """Parameters, step and errors of each model; the step is that of the rough study."""
    root = module.Path(__file__).resolve().parents[2]
    lines = (root / page).read_text(encoding="utf-8").splitlines()
    rough, multiscale = (read_csv(RESULTS / f"study_{kind}128.csv") for kind in STUDIES)
    for name, a, b in zip(("MgNO", "FNO", "TFNO", "UNO"), rough, multiscale, strict=True):
        assert a["model"] in (name, f"Neuralop{name}")
        errors = [100 * float(row[f"relative_{norm}"]) for row in (a, b) for norm in ("l2", "h1")]
        shown = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in lines
            if line.startswith(f"| {name} ") and f"| {int(a['parameters']):,} |" in line
        ]
        (cells,) = [cells for cells in shown if cells[2].endswith("ms")]
        assert cells[2] == f"{1e3 * float(a[STEP]):.0f} ms"
        given = [cell.removesuffix(" %") for cell in cells[3:] if cell.endswith("%")]
        for error, text in zip(errors, given, strict=True):
            digits = len(text.partition(".")[2])
            assert error == pytest.approx(float(text), abs=0.5001 * 10**-digits)


@pytest.mark.parametrize("kind", sorted(STUDIES))
def test_studies_differ_in_the_model_alone(kind):
    """Same data, loss, optimizer, schedule and options; the files that the study writes."""
    plain = [load_recipe(name).to_dict() for name in STUDIES[kind].recipes]
    models = [entries.pop("model")["name"] for entries in plain]
    assert models == ["MgNO", "FNO", "NeuralopTFNO", "NeuralopUNO"]
    for entries in plain:
        entries.pop("name")
        assert entries == plain[0]
    data = plain[0]["data"]
    assert data["train"] == str(STUDIES[kind].file("train", module.Path("data")))
    assert data["test"] == str(STUDIES[kind].file("test", module.Path("data")))
    assert data["validation"] == STUDIES[kind].validation
