"""Which way imports point: the floors of the house, enforced on every import statement."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pdeops"

# The floor of each room; a dotted name is a room within a room, with a floor of its own.
FLOOR = {
    "domain": 1, "linop": 1, "normalizer": 1, "nearest": 0, "batch": 1,
    "kernels": 2,
    "calculus": 3,
    "nn": 4, "solvers": 4,
    "losses": 5, "metrics": 5, "trajectory_metrics": 5, "estimators": 5,
    "compare.break_even": 5, "compare.linear_methods": 5, "compare.machine": 5,
    "compare.tables": 5, "compare.timing": 5,
    "models": 6, "datasets": 6, "training": 6,
    "runs": 7, "tasks": 7, "polish": 7, "certify": 7, "compare": 7, "expectation": 7,
    "export": 7,
    "cli": 8, "__init__": 8, "__main__": 9, "configs": 0, "weights": 0,
}  # fmt: skip
# On one floor an import may point to the left, within these lines only.
ORDERED = [
    ["domain", "linop"],
    ["compare.break_even", "compare.tables", "compare.timing", "compare.linear_methods"],
    ["runs", "tasks", "polish", "certify", "compare", "expectation", "export"],
]


def modules():
    """(room, dotted parts below pdeops, file) of every module, through the links."""
    for folder in [PACKAGE, *[PACKAGE / link for link in ("datasets", "solvers", "configs")]]:
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(PACKAGE).with_suffix("").parts
            yield parts[0], parts, file


def imported_rooms(parts, file):
    """The rooms that a module imports from, at the top or inside a function."""
    package = parts[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            path = [*base, *(node.module.split(".") if node.module else [])]
            targets = [path] if path else [[alias.name] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pdeops":
            targets = [node.module.split(".")[1:] or [alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            targets = [name[1:] or ["__init__"] for name in names if name[0] == "pdeops"]
        else:
            continue
        for target in targets:
            yield node.lineno, tuple(target)


def room_of(parts):
    """The innermost room with a floor of its own."""
    inner = ".".join(parts[:2])
    return inner if inner in FLOOR else parts[0]


def violation(parts, target):
    """Why this import points the wrong way, or None."""
    source, room = room_of(parts), room_of(target)
    if room not in FLOOR:
        return f"unknown room {room!r}; give it a floor in tests/test_layers.py"
    if source == room == "models" and parts[-1] != "__init__" and len(target) > 2:
        return "a model imports no other model"
    if source == room or FLOOR[room] < FLOOR[source]:
        return None
    for line in ORDERED:
        if source in line and room in line and line.index(room) < line.index(source):
            return None
    return f"{source} (floor {FLOOR[source]}) may not import {room} (floor {FLOOR[room]})"


def test_imports_point_downward():
    seen, wrong = 0, []
    for _, parts, file in modules():
        if parts == ("__init__",):
            continue  # resolves its names lazily, from every floor
        for line, target in imported_rooms(parts, file):
            seen += 1
            reason = violation(parts, target)
            if reason:
                wrong.append(f"{'/'.join(parts)}.py:{line}: {reason}")
    assert seen > 50, "the test found too few imports to mean anything"
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (("domain", "grid"), ("linop",)),
        (("solvers", "krylov", "cg"), ("models",)),
        (("training", "trainer"), ("datasets",)),
        (("models", "operators", "fno"), ("models", "operators", "mgno")),
        (("runs", "recipe"), ("tasks",)),
        (("calculus", "norms"), ("nn",)),
        (("compare", "linear_methods"), ("tasks",)),
        (("compare", "timing"), ("compare", "linear_methods")),
    ],
)
def test_the_wrong_way_is_seen(source, target):
    assert violation(source, target)


@pytest.mark.parametrize("room", ["datasets", "solvers"])
def test_linked_rooms_import_upward_relatively(room):
    for file in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any((n or "").split(".")[0] == "pdeops" for n in names), (
                f"{file.name}:{node.lineno} imports pdeops absolutely; write `from ..room import x`"
            )


def test_datasets_refuses_to_be_top_level():
    """A stray `import datasets` from the checkout must fail at once, and say what to do."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import datasets"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0
    assert "pdeops.datasets" in done.stderr


IMPORT_PROBE = """
import sys, torch
threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
state = torch.random.get_rng_state()
import pdeops.datasets
assert not {"h5py", "xarray", "numba", "scipy", "matplotlib"} & set(sys.modules)
import pdeops.solvers
assert not {"numba", "scipy.sparse", "scipy.fft"} & set(sys.modules)
from pdeops.calculus import calculus_of
from pdeops.domain import Sphere
calculus_of(Sphere((9, 16))).symbol  # torch_harmonics is imported by the first transform
pdeops.Grid, pdeops.load_run, pdeops.solvers, pdeops.datasets
assert torch.get_num_threads() == threads and torch.get_default_dtype() == dtype
assert torch.equal(torch.random.get_rng_state(), state)
heavy = {"neuralop", "wandb", "matplotlib", "xarray", "pandas", "tensorboard", "torch_harmonics"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_importing_does_nothing():
    """No output, no global switch, none of the slow packages: no HDF5, solver or plotting until
    they are needed."""
    done = subprocess.run([sys.executable, "-c", IMPORT_PROBE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""


def import_graph(modules):
    """module -> the modules it imports, at the top or inside a function; not those that only a type
    checker imports, nor the packages that a dotted name passes through.

    modules: dotted parts -> source text; a package is named by its folder.
    """
    graph = {}
    for parts, (package, source) in modules.items():
        tree = ast.parse(source)
        checked = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for inner in ast.walk(node)
        }
        edges = graph[parts] = set()
        for node in ast.walk(tree):
            if id(node) in checked:
                continue
            if isinstance(node, ast.ImportFrom):
                name = tuple(node.module.split(".")) if node.module else ()
                if node.level:
                    base = (*package[: len(package) - node.level + 1], *name)
                elif name[:1] == ("pdeops",):
                    base = name[1:]
                else:
                    continue
                inner = [(*base, alias.name) for alias in node.names]
                edges |= {name if name in modules else base for name in inner}
            elif isinstance(node, ast.Import):
                names = [tuple(a.name.split(".")) for a in node.names]
                edges |= {name[1:] for name in names if name[0] == "pdeops"}
        edges &= modules.keys()
    return graph


def circle(graph):
    """Modules that import each other in a circle, the first named twice; None if there is none."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        path.append(module)
        for target in sorted(graph[module]):
            if found := visit(target):
                return found
        done.add(path.pop())
        return None

    return next((found for module in sorted(graph) if (found := visit(module))), None)


def arrows(found):
    return " -> ".join(".".join(parts) or "pdeops" for parts in found)


def test_no_circles_between_files():
    sources = {}
    for _, parts, file in modules():
        is_package = parts[-1] == "__init__"
        name = parts[:-1] if is_package else parts
        sources[name] = (parts[:-1], file.read_text(encoding="utf-8"))
    graph = import_graph(sources)
    graph[()] = set()  # pdeops/__init__ resolves its names lazily, from every floor
    assert sum(map(len, graph.values())) > 500, "the test found too few imports to mean anything"
    found = circle(graph)
    assert found is None, arrows(found)


def test_a_circle_is_seen():
    """Also one that is closed inside a function; not one for the eyes of a type checker."""
    sources = {
        ("room",): (("room",), ""),
        ("room", "a"): (("room",), "from .b import f"),
        ("room", "b"): (("room",), "def f():\n    from ..room import c"),
        ("room", "c"): (("room",), "from pdeops.room.a import g"),
    }
    assert arrows(circle(import_graph(sources))) == "room.a -> room.b -> room.c -> room.a"
    checked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import g"
    sources["room", "c"] = (("room",), checked)
    assert circle(import_graph(sources)) is None
