"""What the packages offer is what a user meets: every public name stands in the documentation.

A public name that no page, card or recipe names is either missing from the documentation or not
needed; delete it in the second case.
"""

import re
from pathlib import Path

import pytest

import pdeops
from pdeops import compare, datasets, estimators, models, solvers
from pdeops.models.corrections import deep_conjugate_published
from pdeops.solvers.evolution.equations import williamson

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("datasets/cards/*.md"),
    *ROOT.glob("pdeops/weights/*.md"),
]
CODE = re.compile(r"^```\w*\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def names_in_code(pages):
    """The identifiers in the blocks and between the backticks of the pages."""
    found = set()
    for page in pages:
        for block, span in CODE.findall(page.read_text(encoding="utf-8")):
            found |= set(re.findall(r"[A-Za-z_]\w*", block or span))
    return found


def names_in_recipes():
    """The classes that shipped recipes name."""
    text = "\n".join(p.read_text(encoding="utf-8") for p in ROOT.glob("configs/*.toml"))
    return set(re.findall(r'^name = "(\w+)"', text, re.MULTILINE))


@pytest.mark.parametrize(
    "package", [pdeops, compare, datasets, estimators, models, solvers], ids=lambda p: p.__name__
)
def test_every_public_name_is_documented(package):
    unmet = set(package.__all__) - names_in_code(PAGES) - names_in_recipes()
    assert not unmet, f"no page or recipe names these of {package.__name__}: {sorted(unmet)}"


@pytest.mark.parametrize("module", [williamson, deep_conjugate_published])
def test_every_function_without_a_caller_in_the_package_is_documented(module):
    """Modules whose public functions are offered to users only."""
    offered = {
        name
        for name, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", "") == module.__name__
        and name[0] != "_"
    }
    sources = "\n".join(
        p.read_text(encoding="utf-8")
        for room in ("pdeops", "solvers", "datasets")
        for p in (ROOT / room).rglob("*.py")
        if p.resolve() != Path(module.__file__).resolve()
    )
    unused = {name for name in offered if not re.search(rf"\b{name}\b", sources)}
    assert unused, "every function has a caller: this module needs no row here"
    assert unused <= names_in_code(PAGES)


def test_prose_does_not_count():
    """A word of a sentence, such as heat or wave, is not a name in code."""
    assert "documentation" not in names_in_code([ROOT / "README.md"])
    assert "load_run" in names_in_code([ROOT / "README.md"])
