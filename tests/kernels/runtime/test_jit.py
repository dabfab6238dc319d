"""The cache of compiled loops follows all sources that they are built from."""

import importlib
import multiprocessing
import os
import shutil
import sys
import warnings

import numba
import pytest

from pdeops.kernels.runtime.jit import jit, key, prune, sources

# caller imports drawn, which imports constants; other imports neither; stale has numba's own cache.
FILES = {
    "__init__.py": "",
    "constants.py": "FACTOR = 2\n",
    "drawn.py": """
from pdeops.kernels.runtime.jit import jit
from .constants import FACTOR

@jit
def scaled(x):
    return FACTOR * x
""",
    "caller.py": """
from pdeops.kernels.runtime.jit import jit

from .drawn import (
    scaled,  # (in parentheses)
)

@jit
def run(x):
    return scaled(x) + 1
""",
    "other.py": """
from pdeops.kernels.runtime.jit import jit

@jit
def run(x):
    return x - 1
""",
    "stale.py": """
import numba
from .drawn import scaled

@numba.njit(cache=True)
def run(x):
    return scaled(x) + 1
""",
}


@pytest.fixture(scope="module", autouse=True)
def compiler():
    """Numba's start-up, once for all processes that are forked."""
    assert numba.njit(lambda x: x + 1)(1) == 2


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "mini"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


class Call:
    """A new process that calls `run(10)` of modules of the package.

    It is forked: torch and numba are there, nothing of the package is.
    """

    def __init__(self, package, *names, chosen="", home=""):
        context = multiprocessing.get_context("fork")
        self.queue = context.SimpleQueue()
        self.process = context.Process(target=self.run, args=(package, names, chosen, home))
        self.process.start()

    def run(self, package, names, chosen, home):
        sys.path.insert(0, str(package.parent))
        sys.dont_write_bytecode = True
        os.environ["XDG_CACHE_HOME"] = str(home)
        numba.config.CACHE_DIR = str(chosen)
        results = {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for name in names:
                run = importlib.import_module(f"mini.{name}").run
                value, stats = run(10), run.stats
                counts = (sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
                results[name] = (value, *counts)
        self.queue.put((results, [str(w.message) for w in caught]))

    def finish(self):
        """Per module: its value, and how often its code was loaded from the cache and compiled;
        and the warnings."""
        self.process.join(timeout=120)
        assert self.process.exitcode == 0
        return self.queue.get()


def call(package, *names, **folders):
    results, messages = Call(package, *names, **folders).finish()
    assert not messages
    return results


def entries(folder, stem):
    return sorted(f.name for f in folder.glob(f"{stem}.*.nb[ic]"))


def test_a_change_in_an_imported_module_is_compiled_and_nothing_else(package):
    assert call(package, "caller", "other") == {"caller": (21, 0, 1), "other": (9, 0, 1)}
    assert call(package, "caller", "other") == {"caller": (21, 1, 0), "other": (9, 1, 0)}
    before = {stem: entries(package / "__pycache__", stem) for stem in ("caller", "drawn", "other")}
    (package / "constants.py").write_text("FACTOR = 3\n")
    assert call(package, "caller", "other") == {"caller": (31, 0, 1), "other": (9, 1, 0)}
    after = {stem: entries(package / "__pycache__", stem) for stem in ("caller", "drawn", "other")}
    for stem in ("caller", "drawn"):  # old entries are removed
        assert len(after[stem]) == len(before[stem]) == 2
        assert not set(after[stem]) & set(before[stem])
    assert after["other"] == before["other"]


def test_numbas_own_cache_would_return_the_old_result(package):
    """The negative control."""
    assert call(package, "stale")["stale"] == (21, 0, 1)
    (package / "constants.py").write_text("FACTOR = 3\n")
    assert call(package, "stale")["stale"] == (21, 1, 0)
    assert call(package, "caller")["caller"] == (31, 0, 1)


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [b"", b"junk", None])
def test_a_damaged_entry_is_compiled_again(package, suffix, left):
    call(package, "other")
    (file,) = (package / "__pycache__").glob(f"other.*.{suffix}")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if left is None else left)
    assert call(package, "other")["other"] == (9, 0, 1)
    assert call(package, "other")["other"] == (9, 1, 0)


def test_a_change_in_the_file_itself(package):
    call(package, "other")
    (package / "other.py").write_text(FILES["other.py"].replace("x - 1", "x - 2"))
    assert call(package, "other")["other"] == (8, 0, 1)
    (package / "other.py").write_text(FILES["other.py"])
    assert call(package, "other")["other"] == (9, 0, 1)


def test_a_folder_that_cannot_be_written_leaves_the_users_cache_folder(package):
    (package / "__pycache__").write_text("in the way")
    home = package.parent / "home"
    for expected in ((21, 0, 1), (21, 1, 0)):
        assert call(package, "caller", home=home)["caller"] == expected
    assert [f.relative_to(home).parts[:2] for f in home.rglob("caller.*.nbi")] == [
        ("pdeops", "numba")
    ]


def test_no_folder_at_all_is_a_warning(package):
    (package / "__pycache__").write_text("in the way")
    (package.parent / "home").write_text("in the way")
    results, messages = Call(package, "caller", "other", home=package.parent / "home").finish()
    assert (results["caller"][0], results["other"]) == (21, (9, 0, 1))
    assert len(messages) == 1
    assert "Loops are compiled anew in each process" in messages[0]
    assert "Set NUMBA_CACHE_DIR to a folder that can be written" in messages[0]


def test_a_read_only_installation_uses_what_was_compiled_in_it(package, monkeypatch):
    """Read-only folders cannot be made by root; the check is replaced instead."""
    from pdeops.kernels.runtime import jit as module

    assert call(package, "caller") == {"caller": (21, 0, 1)}
    monkeypatch.setattr(module, "_can_be_written", lambda folder: False)
    assert call(package, "caller") == {"caller": (21, 1, 0)}
    (package / "constants.py").write_text("FACTOR = 3\n")  # another key: nothing is there
    results, messages = Call(package, "caller").finish()
    assert results["caller"] == (31, 0, 1)
    assert len(messages) == 1


def test_a_function_that_cannot_be_saved_still_runs(package, monkeypatch):
    from pdeops.kernels.runtime import jit as module

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(module.FunctionCache, "_save_overload", full)
    results, messages = Call(package, "other").finish()
    assert results["other"] == (9, 0, 1)
    assert len(messages) == 1
    assert "No space left on device" in messages[0]


def test_compilations_are_reported_and_loads_are_not(package):
    from pdeops.kernels.runtime import compiling

    before, seconds = compiling.num_compiled(), compiling.compiling_seconds()
    f = function_of(package, "other")
    compiled = jit(f)
    assert compiling.num_compiled() == before
    compiled(1)
    assert compiling.num_compiled() == before + 1
    assert compiling.compiling_seconds() > seconds
    assert compiling.current() is None
    again = jit(function_of(package, "other"))
    seconds = compiling.compiling_seconds()
    assert again(1) == 2
    assert sum(again.stats.cache_hits.values()) == 1
    assert (compiling.num_compiled(), compiling.compiling_seconds()) == (before + 1, seconds)


def test_a_failed_compilation_ends_its_report(package):
    from pdeops.kernels.runtime import compiling

    scope = {"__name__": "mini.other"}
    text = "def f(x):\n    return x + nothing_of_that_name\n"
    exec(compile(text, str(package / "other.py"), "exec"), scope)
    with pytest.raises(numba.core.errors.TypingError):
        jit(scope["f"])(1)
    assert compiling.current() is None


def test_a_folder_of_the_users_choice_comes_first(package):
    folder = package.parent / "chosen"
    assert call(package, "caller", chosen=folder)["caller"] == (21, 0, 1)
    assert call(package, "caller", chosen=folder)["caller"] == (21, 1, 0)
    assert list(folder.rglob("caller.*.nbi"))
    assert not entries(package / "__pycache__", "caller")


def test_processes_that_start_together_on_an_empty_cache(package):
    for running in [Call(package, "caller", "other") for _ in range(3)]:
        result, _ = running.finish()
        assert (result["caller"][0], result["other"][0]) == (21, 9)
    assert call(package, "caller", "other") == {"caller": (21, 1, 0), "other": (9, 1, 0)}


def test_sources_are_those_that_a_module_imports(package):
    (package / "sub").mkdir()
    (package / "sub" / "__init__.py").write_text("from ..other import run\n")
    (package / "sub" / "leaf.py").write_text("import math\nimport numpy as np\n")
    (package / "many.py").write_text(
        "import mini.constants as c\nimport json\ndef late():\n    from .sub import leaf\n"
    )
    (package / "names.py").write_text("from mini.sub import run\nfrom .many import late\n")
    expected = {
        "other": {"other.py"},
        "caller": {"caller.py", "drawn.py", "constants.py"},
        "many": {"many.py", "sub/leaf.py", "constants.py"},
        "names": {
            "names.py", "many.py", "sub/leaf.py", "constants.py", "sub/__init__.py", "other.py",
        },
    }  # fmt: skip
    for name, files in expected.items():
        file = package / f"{name}.py"
        assert sources(file, f"mini.{name}") == {package / f for f in files}


def test_the_key_depends_on_sources_and_numba_and_not_on_the_place(package, monkeypatch):
    def keys(folder=package):
        return {name: key(folder / f"{name}.py", f"mini.{name}") for name in ("caller", "other")}

    before = keys()
    assert before["caller"] != before["other"]
    assert keys(shutil.copytree(package, package.parent / "copy" / "mini")) == before
    (package / "constants.py").write_text("FACTOR = 5\n")
    after = keys()
    assert after["caller"] != before["caller"]
    assert after["other"] == before["other"]
    monkeypatch.setattr(numba, "__version__", "0.0.1")
    assert keys()["other"] != before["other"]


@pytest.mark.parametrize(
    "text",
    [
        "from .other import run",
        "from .other import (run)  # once",
        "from .other import (\n    run,  # (in parentheses)\n)",
        "from \\\n    .other import run",
        "if True: from .other import run",
        "import json; from . import other",
        'def f():\n    """import nothing"""\n    import mini.other as run',
    ],
)
def test_every_form_of_an_import_is_found(text, package):
    (package / "forms.py").write_text(text + "\n")
    assert sources(package / "forms.py", "mini.forms") == {
        package / "forms.py",
        package / "other.py",
    }


def function_of(package, name):
    """A function that says it comes from a module of the package."""
    file = package / f"{name}.py"
    scope = {"__name__": f"mini.{name}"}
    exec(compile("def f(x):\n    return x + 1\n", str(file), "exec"), scope)
    return scope["f"]


def test_sources_that_change_under_a_running_process_are_not_cached(package):
    """What was imported before may be older than the file."""
    f = function_of(package, "caller")
    assert jit(f)(1) == 2
    names = entries(package / "__pycache__", "caller")
    assert names
    (package / "constants.py").write_text("FACTOR = 7\n")
    assert jit(f)(1.0) == 2.0
    assert entries(package / "__pycache__", "caller") == names


def test_pruning_leaves_other_modules_and_versions_and_files_being_written(tmp_path):
    old, new = "a.f-3-0123", "a.f-3-4567"
    keep = [
        f"{new}.py311.1.nbc", f"{new}.py311.nbi", "a.g-9-4567.py311.nbi", f"{old}.py312.nbi",
        "ab.f-3-0123.py311.nbi", f"{old}.py311.nbi.tmp.77", "a.cpython-311.pyc",
    ]  # fmt: skip
    gone = [f"{old}.py311.nbi", f"{old}.py311.2.nbc", "a.h.locals.k-8-0123.py311.nbi"]
    plain = ["a.f-3.py311.nbi", "a.f-3.py311.1.nbc"]  # of numba's own cache
    for name in (*keep, *gone, *plain):
        (tmp_path / name).touch()
    prune(tmp_path, f"{new}.py311")
    prune(tmp_path, f"{new}.py311")
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(keep)


def _call_again(function, queue):
    value = function(1)
    queue.put((value, sum(function.stats.cache_misses.values())))


def test_a_forked_child_calls_what_its_parent_compiled(package):
    f = function_of(package, "other")
    compiled = jit(f)
    compiled(1)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_call_again, args=(compiled, queue))
    child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    assert queue.get() == (2, 1)  # the parent's compilation, no other
