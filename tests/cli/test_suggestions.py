"""What a message suggests is accepted: each command is taken from the message and run."""

import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

import pdeops.datasets as datasets
from pdeops.datasets import DATASETS, EVOLUTIONS, open_dataset

from .test_bad_input import refused

U = np.random.default_rng(0).random((4, 8, 6))
COMMAND = re.compile(r"pdeops ((?:data|train|evaluate|predict|solve) [^`\n]+)")


def suggested(text):
    """The arguments of the last command in a message."""
    found = COMMAND.findall(text)
    assert found, text
    return shlex.split(found[-1])


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def unknown_names(folder):
    return npz(folder / "d.npz", permeability=U, pressure=U)


def names_that_need_quotes(folder):
    (folder / "a folder's").mkdir()
    return npz(folder / "a folder's" / "d.npz", **{"my k": U, "p(t)": U})


def the_first_does_not_fit(folder):
    return npz(folder / "d.npz", other=np.ones((3, 5)), k=U, p=U)


def samples_last(folder):
    """7 samples: k has them last, p first."""
    k = np.ones((8, 6, 7))
    return npz(folder / "d.npz", k=k, p=np.moveaxis(k, -1, 0))


def coordinates_and_fields(folder):
    x, y = np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 8))
    scipy.io.savemat(folder / "d.mat", {"x": x, "y": y, "k": U, "p": U})
    return folder / "d.mat"


def channels_last(folder):
    v = np.ones((4, 8, 8, 3))
    return npz(folder / "d.npz", a=v, u=v)


def channels_first(folder):
    return npz(folder / "d.npz", a=np.ones((4, 8, 8)), u=np.ones((4, 2, 8, 8)))


def a_box(folder):
    return npz(folder / "d.npz", a=np.ones((3, 4, 5, 6)), u=np.ones((3, 4, 5, 6)))


def a_box_with_channels(folder):
    return npz(folder / "d.npz", input=np.ones((3, 5, 5, 6)), output=np.ones((3, 2, 5, 5, 6)))


def a_later_field(folder):
    """u has times in the second place."""
    return npz(folder / "d.npz", x=np.ones((3, 8)), y=np.ones((3, 5, 8)))


def one_trajectory(folder):
    content = {"uu": np.ones((12, 9)), "tt": np.arange(9.0), "x": np.linspace(0, 1, 12)}
    scipy.io.savemat(folder / "d.mat", content)
    return folder / "d.mat"


def trajectories(folder):
    return npz(folder / "d.npz", w=np.ones((3, 5, 8, 8)), t=np.arange(5.0))


def in_groups(folder):
    with h5py.File(folder / "d.h5", "w") as file:
        file["run 1/k"], file["run 1/p"] = U, U
    return folder / "d.h5"


def torch_with_times(folder):
    torch.save({"x": torch.ones(3, 8), "y": torch.ones(3, 5, 8)}, folder / "d.pt")
    return folder / "d.pt"


def torch_without_grid(folder):
    torch.save({n: torch.rand(3, 8, 8) for n in "xy"}, folder / "d.pt")
    return folder / "d.pt"


UNCLEAR = [
    unknown_names, names_that_need_quotes, the_first_does_not_fit, samples_last,
    coordinates_and_fields, channels_last, channels_first, a_box, a_box_with_channels,
    a_later_field, one_trajectory, trajectories, in_groups, torch_with_times, torch_without_grid,
]  # fmt: skip


@pytest.mark.parametrize("write", UNCLEAR)
@pytest.mark.parametrize("verb", ["inspect", "convert"])
def test_of_files_that_are_not_clear(pdeops, tmp_path, monkeypatch, write, verb):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path)
    if verb == "inspect":
        done = pdeops("data", "inspect", path, "--json")
        assert done.status == 0, done.stderr
        text = done.json["train"]
    else:
        done = pdeops("data", "convert", path, "own.h5")
        refused(done)
        text = done.stderr
    done = pdeops(*suggested(text))
    assert done.status == 0, (text, done.stderr)
    assert len(open_dataset("own.h5")) >= 1


NAMED = [
    ({"a": U, "u": np.ones((4, 2, 8, 6))}, ("--input", "a", "--target", "u")),
    ({"a": U, "u": np.ones((4, 8, 6, 5))}, ("--input", "a", "--target", "u")),
    ({"a": U, "u": np.ones((8, 6, 4))}, ("--input", "a", "--target", "u")),
    ({"w": np.ones((4, 5, 9))}, ("--state", "w")),
    ({"w": np.ones((4, 5, 2, 9, 9))}, ("--state", "w")),
    ({"w": np.ones((4, 5))}, ("--state", "w")),
    ({"a": np.ones((4, 7)), "w": np.ones((4, 5, 7))}, ("--input", "a", "--state", "w")),
]


@pytest.mark.parametrize(("arrays", "options"), NAMED)
def test_of_arrays_whose_axes_are_not_clear(pdeops, tmp_path, monkeypatch, arrays, options):
    monkeypatch.chdir(tmp_path)
    path = npz(tmp_path / "d.npz", **arrays)
    done = pdeops("data", "convert", path, "own.h5", *options)
    refused(done, "For example: pdeops data convert")
    done = pdeops(*suggested(done.stderr))
    assert done.status == 0, done.stderr


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"a": U, "u": U.mean((1, 2))}, "no axis of space"),
        ({"a": U, "u": U.mean((1, 2))[:, None]}, "no axis of space"),
        ({"a": np.ones((2, 3, 4, 5, 6, 7, 8)), "u": U}, "not clear"),
    ],
)
def test_nothing_is_suggested_where_nothing_fits(pdeops, tmp_path, arrays, word):
    path = npz(tmp_path / "d.npz", **arrays)
    done = pdeops("data", "convert", path, tmp_path / "o.h5", "--input", "a", "--target", "u")
    refused(done, word)
    assert "--axes u=" not in done.stderr
    assert "pdeops data" not in done.stderr


def test_in_python_the_argument_is_suggested(tmp_path):
    v = np.ones((4, 8, 8, 3))
    arguments = {"inputs": ["a"], "targets": ["u"]}
    with pytest.raises(ValueError, match="For example: axes=") as raised:
        datasets.convert({"a": v, "u": v}, tmp_path / "o.h5", **arguments)
    axes = eval(str(raised.value).rpartition("axes=")[2])
    datasets.convert({"a": v, "u": v}, tmp_path / "o.h5", **arguments, axes=axes)


def test_of_a_stride(pdeops, tmp_path):
    path = npz(tmp_path / "d.npz", coeff=np.ones((2, 13, 25)), sol=np.ones((2, 13, 25)))
    done = pdeops("data", "convert", path, tmp_path / "o.h5", "--stride", 7)
    refused(done, "choose one of")
    strides = re.search(r"choose one of ([\d, ]+\d)", done.stderr)[1].split(", ")
    assert len(strides) == 5
    for stride in strides:
        done = pdeops("data", "convert", path, tmp_path / f"{stride}.h5", "--stride", stride)
        assert done.status == 0, done.stderr


@pytest.mark.parametrize("option", ["0:1", "0:0.5"])
def test_of_times(pdeops, tmp_path, option):
    path = npz(tmp_path / "d.npz", w=np.ones((3, 5, 8)), t=np.arange(4.0))
    arguments = ("data", "convert", path, tmp_path / "o.h5", "--state", "w")
    arguments += ("--axes", "sample,time,x", "--json")
    done = pdeops(*arguments)
    refused(done, "w has 5 frames, and t (4,)", f"--times {option}")
    report = pdeops(*arguments, "--times", option).json
    assert report["times"] == [i * float(option[2:]) for i in range(5)]


@pytest.mark.parametrize("option", ["0:0", "1:2:3", "a", "0:1,2", ""])
def test_times_that_are_none(pdeops, tmp_path, option):
    path = npz(tmp_path / "d.npz", w=np.ones((3, 5, 8)))
    arguments = ("--state", "w", "--axes", "sample,time,x", "--times", option)
    refused(pdeops("data", "convert", path, tmp_path / "o.h5", *arguments), "--times")


def test_of_grids(pdeops, tmp_path):
    """The notes name the options; with all of them no note is left."""
    path = npz(tmp_path / "d.npz", k=U, p=U, x=np.linspace(0, 1, 8) ** 2)
    arguments = ("data", "convert", path, tmp_path / "o.h5", "--input", "k", "--target", "p")
    refused(pdeops(*arguments), "not uniform", "--extent and --placement")
    options = ("--extent", "1", "--placement", "centers", "--boundary", "neumann")
    report = pdeops(*arguments, *options, "--json").json
    assert report["notes"] == [
        "x is not uniform in the file; the fields are read on the given grid"
    ]


def test_of_values(pdeops, tmp_path):
    u = U.copy()
    u[[1, 2]] = np.nan
    path = npz(tmp_path / "d.npz", a=U, u=u)
    done = pdeops("data", "convert", path, tmp_path / "o.h5")
    option = re.search(r"--without [\d,-]*\d", done.stderr)[0].split()
    done = pdeops("data", "convert", path, tmp_path / "o.h5", *option, "--json")
    assert done.json["samples"] == 2
    done = pdeops("data", "convert", path, tmp_path / "p.h5", "--allow-nan", "--json")
    assert done.json["samples"] == 4
    path = npz(tmp_path / "e.npz", a=U, u=U * 1e99)
    done = pdeops("data", "convert", path, tmp_path / "q.h5", "--dtype", "float32")
    option = re.search(r"--dtype float64", done.stderr)[0].split()
    assert pdeops("data", "convert", path, tmp_path / "q.h5", *option).status == 0


@pytest.mark.parametrize("kind", ["foreign", "project"])
def test_of_evaluation_on_spoiled_data(pdeops, workshop, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    with h5py.File(workshop.test) as file:
        k, p = file["permeability"][()], file["pressure"][()]
    if kind == "project":
        path = tmp_path / "d.h5"
        path.write_bytes(Path(workshop.test).read_bytes())
        with h5py.File(path, "r+") as file:
            file["pressure"][2, 3, 4] = np.nan
    else:
        p[2, 3, 4] = np.nan
        path = npz(tmp_path / "d.npz", coeff=k, sol=p)
    done = pdeops("evaluate", workshop.run, "--data", path)
    refused(done, "not finite", "in sample(s) 2")
    done = pdeops(*suggested(done.stderr))
    assert done.status == 0, done.stderr
    done = pdeops("evaluate", workshop.run, "--data", "own.h5", "--json")
    assert done.json["samples"] == len(p) - 1


def test_of_a_missing_file_and_a_single_array(pdeops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = pdeops("data", "inspect", "a b.h5")
    assert "--out 'a b.h5'" in done.stderr
    assert pdeops(*suggested(done.stderr)).status == 0
    np.save("k.npy", U)
    np.save("p.npy", U)
    done = pdeops("data", "inspect", "k.npy")
    assert pdeops(*suggested(done.stderr)).status == 0


@pytest.mark.parametrize("name", [*DATASETS, *EVOLUTIONS])
def test_of_data_cards(pdeops, tmp_path, monkeypatch, name):
    """`--resolution ...` of each card, and of the help, for problems of any dimension."""
    card = Path(datasets.__file__).parent / "cards" / f"{name}.md"
    resolutions = re.findall(r"`--resolution ([\d,]+)`", card.read_text(encoding="utf-8"))
    asked = []

    def generate(problem, grid, **options):
        problem.check_grid(grid)
        asked.append(grid.shape)
        return {}

    monkeypatch.setattr(datasets, "generate", generate)
    for resolution in resolutions or ["65"]:
        arguments = ("--samples", 1, "--resolution", resolution, "--out", tmp_path / "d.h5")
        done = pdeops("data", "generate", name, *arguments)
        assert done.status == 0, done.stderr
        numbers = tuple(map(int, resolution.split(",")))
        assert asked[-1] in (numbers, numbers * 2)


def test_burgers_is_generated_as_its_card_says(pdeops, tmp_path):
    arguments = ("--samples", 1, "--resolution", 256, "--out", tmp_path / "b.h5", "--json")
    done = pdeops("data", "generate", "burgers", *arguments)
    assert done.status == 0, done.stderr
    assert open_dataset(tmp_path / "b.h5").domain.shape == (256,)
