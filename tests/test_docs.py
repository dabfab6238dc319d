"""Every page of docs/ is run as a new user would: its blocks in order, in an empty folder.

A shell block that only writes files (cat > file <<'END') and calls `pdeops` runs in this process,
which spares the seconds in which each command imports torch. It sees nothing of the page's Python:
neither what that registered nor the paths it added. All other blocks, and the README, run in a
shell.
"""

import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pdeops.cli import main
from pdeops.datasets import DATASETS, EVOLUTIONS
from pdeops.domain import DOMAINS
from pdeops.models import MODELS
from pdeops.solvers.preconditioners import CLASSICAL
from pdeops.tasks import TASKS

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Measured tables: their commands take minutes or hours, and `figures.md` says what they gave.
MEASURED = {"figures"}
# Pages of several seconds of processor time, which share their commands with faster ones or start
# several processes.
LONG = {"add_a_data_set", "certify", "expectation", "own_data", "own_equation", "points"}
LONG |= {"add_a_model", "classical", "extend", "models", "refine", "scaling", "search", "tuning"}
REGISTRIES: tuple[dict, ...] = (MODELS, DATASETS, EVOLUTIONS, DOMAINS, TASKS, CLASSICAL)
PLAIN = re.compile(r"pdeops [^|&;<>`$\\*?~(){}]*")  # a command without the syntax of the shell
FILE = re.compile(r"cat > (\S+) <<'END'\n(.*?)^END\n", re.MULTILINE | re.DOTALL)
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
    [
        pytest.param(p, id=p.stem, marks=pytest.mark.slow if p.stem in LONG else ())
        for p in sorted(DOCS.glob("*.md"))
        if p.stem not in MEASURED
    ],
)
def test_page_runs(page, tmp_path, monkeypatch, registries):
    run(page, tmp_path, monkeypatch)


@pytest.mark.slow
def test_readme_runs(tmp_path, monkeypatch, registries):
    """The three jobs, as printed, at their size: minutes."""
    run(DOCS.parent / "README.md", tmp_path, monkeypatch, in_process=False)


def run(page, tmp_path, monkeypatch, *, in_process=True):
    monkeypatch.chdir(tmp_path)
    fresh = [(registry, dict(registry)) for registry in REGISTRIES], list(sys.path)
    names: dict[str, object] = {"__name__": page.stem}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for language, text in blocks:
        assert language in ("sh", "python"), f"{page.name}: what is a {language} block?"
        if language == "python":
            exec(compile(text, page.name, "exec"), names)
        elif in_process and all(map(PLAIN.fullmatch, FILE.sub("", text).splitlines())):
            step_by_step(text, fresh)
        else:
            shell(text)


def step_by_step(text, fresh):
    """Write the files and run the commands of a shell block, in their order."""
    while text:
        if file := FILE.match(text):
            Path(file[1]).write_text(file[2], encoding="utf-8")
            text = text[file.end() :]
        else:
            line, _, text = text.partition("\n")
            command(line, fresh)


def command(line, fresh):
    """A command of pdeops in this process, with the registries and paths of a new one."""
    changed = [(registry, dict(registry)) for registry in REGISTRIES], list(sys.path)
    logger = logging.getLogger("pdeops")
    log = (logger.handlers[:], logger.level, logger.propagate)
    try:
        _restore(fresh)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", shlex.split(line))
            with pytest.raises(SystemExit) as stop:
                main()
        assert not stop.value.code, line
    finally:
        _restore(changed)
        logger.handlers[:], logger.level, logger.propagate = log


def _restore(state):
    registries, path = state
    for registry, entries in registries:
        registry.clear()
        registry.update(entries)
    sys.path[:] = path


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
