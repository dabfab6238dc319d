"""How the command line is started: as a module, from a notebook, with ~ in its options."""

import os
import subprocess
import sys

import pytest


def python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("module", ["pdeops", "pdeops.cli"])
def test_as_a_module(module):
    done = python("-m", module, "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().count(".") == 2


def test_figures_with_the_backend_of_a_notebook(tmp_path):
    """`!pdeops compare` inherits MPLBACKEND, whose backend is installed with the notebook only."""
    script = (
        "import os, sys; from pdeops.compare.figures import new_figure\n"
        "with new_figure('m.png', (3, 2)) as figure: figure.subplots().plot([1, 2])\n"
        "assert os.path.getsize('m.png') > 1000\n"
        "print(os.environ['MPLBACKEND'])"
    )
    backend = "module://a_backend_that_is_not_installed"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "MPLBACKEND": backend},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == backend


def test_a_backend_that_exists_is_kept():
    """A user of the package in a notebook gets the backend that the notebook chose."""
    script = (
        "from pdeops.compare.figures import import_matplotlib\n"
        "print(import_matplotlib().get_backend())"
    )
    done = python("-c", script, MPLBACKEND="svg")
    assert done.stdout.strip() == "svg", done.stderr


def test_home_in_options(pdeops, workshop, tmp_path, monkeypatch):
    """`--out=~/x` reaches the program as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(workshop.folder)
    arguments = ("--samples=2", "--resolution=9", "--out=~/d.h5")
    done = pdeops("data", "generate", "darcy", *arguments)
    assert done.status == 0, done.stderr
    assert (tmp_path / "d.h5").is_file()
    assert pdeops("data", "inspect", "~/d.h5").status == 0
    assert not (workshop.folder / "~").exists()
