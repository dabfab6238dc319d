"""Every page of docs/ is run as a new user would: its blocks in order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pdeops.datasets import DATASETS, EVOLUTIONS
from pdeops.domain import DOMAINS
from pdeops.models import MODELS
from pdeops.solvers.preconditioners import CLASSICAL
from pdeops.tasks import TASKS

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Measured tables: their commands take minutes or hours, and `figures.md` says what they gave.
MEASURED = {"figures"}
REGISTRIES: tuple[dict, ...] = (MODELS, DATASETS, EVOLUTIONS, DOMAINS, TASKS, CLASSICAL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def registries():
    """What a page registers is forgotten after it."""
    before = [(registry, dict(registry)) for registry in REGISTRIES]
    yield
    for registry, entries in before:
        for name in set(registry) - set(entries):
            del registry[name]


@pytest.mark.parametrize(
    "page",
    sorted(p for p in DOCS.glob("*.md") if p.stem not in MEASURED),
    ids=lambda page: page.stem,
)
def test_page_runs(page, tmp_path, monkeypatch, registries):
    run(page, tmp_path, monkeypatch)


@pytest.mark.slow
def test_readme_runs(tmp_path, monkeypatch, registries):
    """The three jobs, as printed, at their size: minutes."""
    run(DOCS.parent / "README.md", tmp_path, monkeypatch)


def run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for language, text in blocks:
        assert language in ("sh", "python"), f"{page.name}: what is a {language} block?"
        if language == "python":
            exec(compile(text, page.name, "exec"), names)
        else:
            shell(text)


def shell(text):
    beside_python = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", text],
        env={**os.environ, "PATH": beside_python, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"])
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"
