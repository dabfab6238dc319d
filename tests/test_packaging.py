"""The wheel: every package in it, no top-level `datasets`, and a training from another folder."""

import json
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_every_package_is_listed():
    """A package missing from pyproject's list is left out of the wheel without a word."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = set()
    for folder in ("pdeops", "pdeops/datasets", "pdeops/solvers", "pdeops/configs"):
        for file in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join(file.parent.relative_to(ROOT).parts))
    assert set(listed) == found


def test_every_direct_package_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {w.split(">")[0].split("[")[0] for w in wanted} - {"pdeops"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    assert names <= pinned, names - pinned


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout with what is installed here (no index)."""
    out = tmp_path_factory.mktemp("wheel")
    copy = out / "checkout"  # setuptools builds in place: keep the real checkout clean
    anywhere = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__")

    def leave(folder, names):
        made = {"build", "runs", "data"} if Path(folder) == ROOT else set()
        return anywhere(folder, names) | made

    shutil.copytree(ROOT, copy, symlinks=True, ignore=leave)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(out), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = out.glob("pdeops-*.whl")
    return file


def test_wheel_holds_one_top_level_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {t for t in top if not t.endswith(".dist-info")} == {"pdeops"}
    for needed in (
        *("datasets/problems/darcy.py", "datasets/cards/darcy.md"),
        *("solvers/krylov/cg.py", "py.typed"),
    ):
        assert f"pdeops/{needed}" in names
    assert any(n.startswith("pdeops/configs/") and n.endswith(".toml") for n in names)


def test_wheel_trains_from_another_folder(wheel, tmp_path):
    """Installed without index and dependencies into an environment that sees the outer packages.

    A stand-in for Hugging Face's `datasets` is installed first and must stay untouched.
    """
    env = tmp_path / "env"
    venv.create(env, with_pip=False)
    site = next((env / "lib").glob("python*/site-packages"))
    outer = [p for p in sys.path if p.endswith("site-packages")]
    (site / "outer.pth").write_text("\n".join(outer) + "\n")
    (site / "datasets").mkdir()
    stand_in = site / "datasets" / "__init__.py"
    stand_in.write_text("WHOSE = 'another distribution'\n")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    install += ["--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)

    work = tmp_path / "elsewhere"
    work.mkdir()
    python = str(env / "bin" / "python")

    def pdeops(*arguments):
        command = [python, "-m", "pdeops.cli", *arguments]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [python, "-c", "import pdeops, datasets; print(pdeops.__file__, datasets.WHOSE)"],
        cwd=work, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(site) in where
    assert "another distribution" in where

    assert "train" in pdeops("--help")
    for name, seed in (("train", 0), ("test", 1)):
        pdeops(
            *("data", "generate", "poisson", "--samples", "6"),  # its solver compiles nothing
            *("--resolution", "17", "--seed", str(seed), "--out", f"{name}.h5"),
        )
    settings = ("--set", "data.train=train.h5", "--set", "data.test=test.h5")
    settings += ("--set", "model.hidden_channels=4", "--epochs", "2", "--device", "cpu")
    trained = json.loads(pdeops("train", "mgno_darcy65", *settings, "--json"))
    assert Path(work / trained["run"] / "checkpoints" / "best.pt").is_file()
    assert stand_in.read_text() == "WHOSE = 'another distribution'\n"
