"""The verbs, each on a small trained run: what they print and write, and that figures agree."""

import csv
import logging
import re
import tomllib

import h5py
import numpy as np
import pytest
import scipy.io
import torch

import pdeops as package
from pdeops.cli import compile_loops, output

from .conftest import overrides


def test_generate_and_inspect(pdeops, tmp_path):
    out = tmp_path / "d.h5"
    arguments = ("--samples", 3, "--resolution", "17,33", "--seed", 4, "--out", out)
    done = pdeops("data", "generate", "darcy", "--kind", "piecewise", *arguments, "--json")
    assert done.status == 0, done.stderr
    with h5py.File(out) as file:
        assert file["pressure"].shape == (3, 17, 33)
        assert file["residual"][:].max() <= 1e-10
    inspected = pdeops("data", "inspect", out, "--json").json
    assert inspected["samples"] == 3
    assert inspected["grid"]["shape"] == [17, 33]


def test_generate_sets_the_parameters_of_a_kind(pdeops, tmp_path):
    out = tmp_path / "d.h5"
    command = ("data", "generate", "poisson", "--kind", "mixed", "--samples", 2)
    command += ("--resolution", "9", "--out", out)
    for wrong, message in (
        ("kind=gaussian", "'kind' is not one"),
        ("scal=3", "Did you mean 'scale'"),
    ):
        done = pdeops(*command, "--set", wrong)
        assert done.status != 0
        assert message in done.stderr
        assert not out.exists()
    done = pdeops(*command, "--set", "dirichlet_axis=1", "--set", "scale=3")
    assert done.status == 0, done.stderr
    inspected = pdeops("data", "inspect", out, "--json").json
    assert inspected["grid"]["boundary"] == ["neumann", "dirichlet"]
    assert inspected["spec"]["parameters"]["scale"] == 3.0


def test_samples_that_look_last_are_named(pdeops, tmp_path):
    """Two equal axes and another one are hardly samples and a strip; the assumption is printed."""
    for shape, warned in (((9, 9, 12), True), ((12, 9, 9), False)):
        a = np.random.default_rng(0).random(shape)
        scipy.io.savemat(tmp_path / "own.mat", {"k": a, "p": a})
        out = tmp_path / f"{shape[0]}.h5"
        done = pdeops("data", "convert", tmp_path / "own.mat", out, "--input", "k", "--target", "p")
        assert done.status == 0, done.stderr
        assert ("give --axes x,y,sample" in done.stdout.replace("\n", " ")) == warned


def test_convert_then_train_in_three_commands(pdeops, tmp_path):
    """Own data as FNO's .mat with sample last: converted, inspected, trained as the report says."""
    a = np.random.default_rng(0).random((9, 17, 12))
    scipy.io.savemat(tmp_path / "own.mat", {"k": a, "p": np.cumsum(a, 1)})
    arguments = ("--input", "k", "--target", "p", "--axes", "x,y,sample", "--dtype", "float32")
    arguments += ("--boundary", "dirichlet,periodic", "--extent", "1,2")
    done = pdeops(
        "data", "convert", tmp_path / "own.mat", tmp_path / "own.h5", *arguments, "--json"
    )
    assert done.status == 0, done.stderr
    grid = {
        "kind": "box",
        "shape": [9, 17],
        "extent": [1.0, 2.0],
        "boundary": ["dirichlet", "periodic"],
        "placement": ["endpoints", "left"],
    }
    assert done.json["grid"] == grid
    with h5py.File(tmp_path / "own.h5") as file:
        np.testing.assert_array_equal(file["p"][5], np.cumsum(a, 1)[:, :, 5].astype("f4"))
    shown = pdeops("data", "inspect", tmp_path / "own.h5")
    assert "[data]" in shown.stdout
    recipe = tomllib.loads(pdeops("data", "inspect", tmp_path / "own.h5", "--json").json["train"])
    file = recipe["data"]["train"]
    small = ("model.n_modes=[4,4]", "model.hidden_channels=4", "training.batch_size=5")
    small += (f"data.train={file}", "data.validation=2")
    pairs = [part for setting in small for part in ("--set", setting)]
    out = tmp_path / "run"
    done = pdeops("train", "fno_darcy65", *pairs, "--epochs", 1, "--device", "cpu", "--out", out)
    assert done.status == 0, done.stderr
    assert pdeops("evaluate", out, "--data", file, "--json").json["samples"] == 12


@pytest.mark.parametrize(
    "names",
    [("--input", "a,b", "--target", "u"), ("--input", "a", "--input", "b", "--target", "u")],
)
def test_names_are_repeated_or_separated_by_commas(pdeops, tmp_path, names):
    """One .npy per array in a folder; axes of one array, the others by convention."""
    (tmp_path / "own").mkdir()
    u = np.random.default_rng(0).random((3, 4, 5))
    for name in "abu":
        np.save(tmp_path / "own" / f"{name}.npy", u.T if name == "u" else u)
    done = pdeops(
        *("data", "convert", tmp_path / "own", tmp_path / "o.h5", *names),
        *("--axes", "u=y,x,sample", "--json"),
    )
    assert done.status == 0, done.stderr
    assert (done.json["inputs"], done.json["targets"]) == (["a", "b"], ["u"])
    with h5py.File(tmp_path / "o.h5") as file:
        np.testing.assert_array_equal(file["u"], file["a"])


def test_a_matlab_file_trains_as_it_is(pdeops, workshop, tmp_path):
    """FNO's names need no conversion: the same numbers, the same training."""
    with h5py.File(workshop.train) as file:
        fields = {"coeff": file["permeability"][:], "sol": file["pressure"][:]}
    scipy.io.savemat(tmp_path / "train.mat", fields)
    errors = []
    for train in (workshop.train, tmp_path / "train.mat"):
        settings = overrides(workshop.folder, "model.n_modes=[8,8]", f"data.train='{train}'")
        recipe = package.load_recipe("fno_darcy65", [*settings, "data.test='none.h5'"])
        report = package.train(recipe, out=tmp_path / f"run{len(errors)}", device="cpu")
        errors.append(report["validation"]["relative_l2"])
    assert errors[0] == errors[1]


def test_predict_on_a_file_whose_fields_are_called_as_axes(pdeops, workshop, tmp_path):
    """neuraloperator's x and y."""
    rng = torch.Generator().manual_seed(0)
    content = {"x": torch.rand(3, 17, 17, generator=rng) > 0.5, "y": torch.rand(3, 17, 17)}
    torch.save(content, tmp_path / "d.pt")
    out = tmp_path / "p.h5"
    done = pdeops("predict", workshop.run, "--data", tmp_path / "d.pt", "--out", out)
    assert done.status == 0, done.stderr
    with h5py.File(out) as file:
        np.testing.assert_array_equal(file["input_x"], content["x"].numpy())
        assert file["target_y"].shape == (3, 17, 17)


def test_train_prints_its_own_folder(pdeops, workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = [part for pair in overrides(workshop.folder) for part in ("--set", pair)]
    done = pdeops("train", "mgno_darcy65", *pairs, "--device", "cpu", "--seed", 3, "--json")
    assert done.status == 0, done.stderr
    report = done.json
    folder = tmp_path / report["run"]
    for name in ("recipe.toml", "environment.json", "metrics.csv"):
        assert (folder / name).is_file()
    assert package.load_recipe(folder / "recipe.toml").seed == 3
    assert report["validation"]["relative_l2"] > 0
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 2


def test_evaluate_agrees_with_a_loop_over_samples(pdeops, workshop):
    done = pdeops("evaluate", workshop.run, "--json")
    assert done.status == 0, done.stderr
    report = done.json
    assert report["samples"] == 4
    operator = package.load_run(workshop.run)
    with h5py.File(workshop.test) as file:
        k = torch.from_numpy(file["permeability"][:])
        p = torch.from_numpy(file["pressure"][:])
    errors = []
    for i in range(4):
        w = torch.ones(17, dtype=torch.float64)
        w[[0, -1]] = 0.5
        weight = w[:, None] * w
        e = (operator(k[i]) - p[i]).double()
        errors.append(((weight * e**2).sum() / (weight * p[i].double() ** 2).sum()).sqrt().item())
    assert report["relative_l2"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert report["residual"] > 0
    assert report["relative_h1"] > report["relative_l2"]


def test_the_true_solution_has_no_residual(workshop):
    """The residual that `evaluate` reports vanishes for the data's own solutions (in float32)."""
    data = package.open_dataset(workshop.test)
    problem = package.datasets.problem_of(data.spec)
    batch = next(iter(data.batches(4)))
    assert problem.residual(batch.input, batch.target, data.domain).max() < 1e-4
    assert problem.residual(batch.input, 1.1 * batch.target, data.domain).min() > 0.05


def test_run_keeps_the_form_of_its_input(workshop):
    operator = package.load_run(workshop.run)
    field = np.full((17, 17), 3.0)
    field[5:9, 4:8] = 12.0
    one = operator(field)
    assert one.shape == (17, 17)
    assert one.dtype == field.dtype
    assert isinstance(one, np.ndarray)
    many = operator(torch.from_numpy(field).float()[None, None])
    assert many.shape == (1, 1, 17, 17)
    assert many.dtype == torch.float32
    np.testing.assert_allclose(many[0, 0].numpy(), one, rtol=1e-5, atol=1e-8)
    with pytest.raises(ValueError, match="input channel"):
        operator(torch.ones(1, 2, 17, 17))
    with pytest.raises(ValueError, match="space axes"):
        operator(torch.ones(17))


def test_averaged_symmetries_travel_with_the_run(workshop, tmp_path):
    """The run predicts alike for a turned permeability, after loading too; without, it does not."""
    settings = overrides(workshop.folder, "model.n_modes=[8,8]", "data.average_symmetries=true")
    recipe = package.load_recipe("fno_darcy65", settings)
    folder = package.train(recipe, out=tmp_path / "run", device="cpu")["run"]
    k = package.open_dataset(workshop.test)[0].input
    for run, symmetric in ((folder, True), (workshop.run, False)):
        operator = package.load_run(run)
        gap = (operator(k.mT) - operator(k).mT).norm() / operator(k).norm()
        assert (gap < 1e-5) == symmetric


def test_predict_writes_what_the_operator_says(pdeops, workshop, tmp_path):
    out = tmp_path / "prediction.h5"
    done = pdeops("predict", workshop.run, "--data", workshop.test, "--out", out, "--json")
    assert done.status == 0, done.stderr
    operator = package.load_run(workshop.run)
    with h5py.File(out) as written, h5py.File(workshop.test) as data:
        k = torch.from_numpy(data["permeability"][:])
        np.testing.assert_array_equal(written["permeability"][:], k)
        np.testing.assert_allclose(written["pressure"][:], operator(k).numpy(), rtol=1e-6)
        p = torch.from_numpy(written["pressure"][:])[:, None]
        expected = operator.problem.residual(k[:, None], p, operator.domain)
        np.testing.assert_allclose(written["residual"][:], expected, rtol=1e-3)
        assert written["residual"][:].min() > 1e-6  # not that of the file's own solutions
    again = pdeops("predict", workshop.run, "--data", workshop.test, "--out", out)
    assert again.status == 1
    assert "exists" in again.stderr


def test_models_lists_each_model_with_its_recipes(pdeops):
    listed = pdeops("models", "--json").json
    known = package.models
    assert set(listed) == {*known.MODELS, *known.CORRECTIONS, *known.FIELDS}
    for entry in listed.values():
        assert entry["summary"]
        assert entry["parameters"] > 0
        assert entry["arguments"]
    for name in ("FNO", "MgNO"):
        assert f"{name.lower()}_darcy65.toml" in listed[name]["recipes"]


def test_a_shipped_recipe_is_printed_with_the_command_that_makes_its_data(pdeops, tmp_path):
    shown = pdeops("train", "mgno_darcy65", "--show")
    assert "pdeops data generate darcy" in shown.stdout
    tables = tomllib.loads(shown.stdout)
    assert tables["model"]["name"] == "MgNO"
    refused = pdeops("train", "mgno_darcy65", "--set", f"data.train={tmp_path / 'none.h5'}")
    assert refused.status == 1
    assert "train RECIPE --show" in refused.stderr
    assert pdeops("train", "--show").status == 1


def test_narrow_terminals_show_whole_names(monkeypatch, capsys):
    """They are folded, not cut."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal
    monkeypatch.setenv("COLUMNS", "40")
    name = "neuralop_sfno_shallow_water_random"
    output.rows(("model", "summary", "recipes"), [("SFNO", "what " * 9, [name])])
    output.emit({"recipe": name, "path": name}, as_json=False, notes={"recipe": "what " * 9})
    found = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in found
    columns = zip(
        *[re.split("[│┃]", line) for line in found.splitlines() if "│" in line], strict=False
    )
    assert sum(name in "".join(map(str.strip, column)) for column in columns) >= 2


def test_compiling_prints_its_progress_and_not_the_log_of_each_solve(monkeypatch, caplog):
    def job():
        log = logging.getLogger("pdeops")
        log.info("A: Diffusion")
        log.warning("a warning")

    monkeypatch.setattr(compile_loops, "_jobs", lambda: [("a job", job), ("another", job)])
    with caplog.at_level(logging.INFO, "pdeops"):
        compile_loops.compile_all()
        logging.getLogger("pdeops").info("after it")
    assert caplog.messages == [
        "compiling loops, once: 1 of 2, a job",
        "a warning",
        "compiling loops, once: 2 of 2, another",
        "a warning",
        "after it",
    ]


def test_help_names_every_verb(pdeops):
    done = pdeops("--help")
    assert done.status == 0
    for verb in (
        "data",
        "train",
        "evaluate",
        "predict",
        "compare",
        "models",
        "doctor",
        "quickstart",
    ):
        assert verb in done.stdout


def test_doctor_reports_versions_and_loads_nothing_by_default(pdeops):
    done = pdeops("doctor", "--json")
    assert done.status == 0
    assert done.json["versions"]["torch"].startswith("2.")
    assert "loads" not in done.json


def test_doctor_shows_forms_with_their_reasons_and_times_them(pdeops, monkeypatch):
    monkeypatch.setattr("pdeops.cli.kernels.REPEATS", 1)
    report = pdeops("doctor", "--time-kernels", "--json").json
    assert report["kernels"]["spectral_conv"] == "cpu: form for cpu"
    assert report["kernels"]["amg"] == "cpu: arrays of the CPU"
    times = report["kernel times"]["spectral_conv"]
    assert times["times_faster"] == pytest.approx(times["twin_ms"] / times["form_ms"], rel=0.1)


@pytest.mark.slow
def test_doctor_tries_every_pair(pdeops):
    report = pdeops("doctor", "--load", "--json").json
    assert report["loads"]["torch-harmonics with torch"] == "yes"
    assert report["loads"]["neuraloperator with torch"] == "yes"


@pytest.mark.slow
def test_compare_writes_table_picture_and_report(pdeops, workshop):
    done = pdeops("compare", workshop.run, "--samples", 2, "--json")
    assert done.status == 0, done.stderr
    report = done.json
    assert report["verdict"]
    assert (workshop.run / "compare.csv").is_file()
    assert "classical" in (workshop.run / "report.md").read_text()
