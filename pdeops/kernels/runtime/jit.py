"""Compiled loops (numba) whose cache on disk follows every source file that they are built from.

numba's own cache (`cache=True`) identifies a function by the file that defines it. The compiled
code also contains functions and constants that this file imports, so after a change in one of them
numba returns old machine code. `jit` uses a key over

- the source of the file that defines the function,
- the sources of all modules of the same package that this file imports, directly or through others,
- the version of numba,

and numba adds the argument types, the bytecode and the CPU. A change therefore recompiles the
functions of the files that import the changed one, and no others. The key is part of the file
name; when a function is saved, files of the same module with another key are removed.

Files are written to the first of these folders that can be written: $NUMBA_CACHE_DIR if the user
has set it, `__pycache__` next to the source, the user's cache folder ($XDG_CACHE_HOME/pdeops or
~/.cache/pdeops on Linux). They are read from the folders before it too: an installation that was
compiled once and is now read-only is not compiled again. Where no folder can be written, what is
not found is compiled in each process, with a warning. Writing is atomic; a process that finds a
file removed compiles again.

Sources are read when a kernel module is imported. If one of them changes while the process runs,
the modules imported after that are compiled without the cache: some of their parts may be old.
"""

import ast
import hashlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    _CacheLocator,
)
from numba.core.runtime import rtsys
from numba.misc.appdirs import AppDirs

from .compiling import reported
from .first_calls import counted

WORD = re.compile(r"\bimport\b")
LINE = re.compile(r"^[ \t]*(?:from[ \t]+[.\w]+[ \t]+)?import\b[^\n(]*(?:\([^)]*\))?[^\n]*", re.M)
_first: dict[Path, tuple[int, int]] = {}  # the version of each source when it was first read


def jit(function: Callable[..., Any]) -> Any:
    """`function` compiled at its first call and cached on disk; the loops release the GIL.

    Floating-point errors follow numpy (inf and nan, no exceptions). No fastmath, so that a result
    does not depend on which caller a function is inlined into.
    """
    return _cached(_njit(no_cfunc_wrapper=True)(function), function)


def inner(function: Callable[..., Any]) -> Any:
    """`jit` for a function that only compiled functions call: without the wrapper for Python,
    whose conversion of each argument takes as long to compile as a line of a loop."""
    return _cached(_njit(no_cfunc_wrapper=True, no_cpython_wrapper=True)(function), function)


def _njit(**wrappers: bool) -> Any:
    njit: Any = numba.njit
    return njit(nogil=True, error_model="numpy", **wrappers)


def _cached(compiled: Any, function: Callable[..., Any]) -> Any:
    """The dispatcher with our cache; it reports each compilation to `compiling.py`."""
    files, _ = _snapshot(Path(function.__code__.co_filename), function.__module__)
    if all(_first.setdefault(file, version := _version(file)) == version for file in files):
        compiled._cache = _KernelCache(function)
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    compiled._compiler = _Reporting(compiled._compiler, name)
    compiled.compile = counted(compiled.compile)
    return compiled


class _Reporting:
    """numba's compiler of one function, which reports when it starts and ends."""

    def __init__(self, compiler: Any, name: str) -> None:
        self._compiler, self._name = compiler, name

    def compile(self, args: Any, return_type: Any) -> Any:
        with reported(self._name):
            return self._compiler.compile(args, return_type)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiler, name)


@cache
def _warn_once() -> None:
    warnings.warn(
        "Loops are compiled anew in each process: no folder for their cache can be written "
        "(__pycache__ of the installation, the user's cache folder). Set NUMBA_CACHE_DIR to a "
        "folder that can be written.",
        RuntimeWarning,
        stacklevel=2,
    )


@cache
def _snapshot(file: Path, module: str) -> tuple[frozenset[Path], str]:
    return sources(file, module), key(file, module)


def key(file: Path, module: str) -> str:
    """Hash over numba's version and all sources that the functions of a module are built from.

    Paths enter relative to the package, so that a copy of the package has the same keys.
    """
    root = _root(file, module)
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(sources(file, module)):
        content = hashlib.sha256(source.read_bytes()).hexdigest()
        digest.update(f"\n{source.relative_to(root).as_posix()} {content}".encode())
    return digest.hexdigest()


def sources(file: Path, module: str) -> frozenset[Path]:
    """`file` and the files of the same package that it imports, directly or through others."""
    root, package = _root(file, module), module.split(".")[0]
    found, new = set[Path](), {file}
    while new:
        found |= new
        imported = (_imports(one, _version(one), root, package) for one in new)
        new = set[Path]().union(*imported) - found
    return frozenset(found)


def _root(file: Path, module: str) -> Path:
    """The folder that contains the top-level package of `module`."""
    return file.parents[module.count(".") + (file.name == "__init__.py")]


def _version(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


@cache
def _imports(file: Path, version: tuple[int, int], root: Path, package: str) -> frozenset[Path]:
    """The files of the package that `file` imports, at the top or inside a function."""
    found = set[Path]()
    for node in _import_statements(file.read_text(encoding="utf-8")):
        if isinstance(node, ast.ImportFrom):
            path = node.module.split(".") if node.module else []
            if node.level or path[0] == package:
                base = file.parents[node.level - 1] if node.level else root
                found.update(*(_defining(base.joinpath(*path), a.name) for a in node.names))
        elif isinstance(node, ast.Import):
            for *path, name in (alias.name.split(".") for alias in node.names):
                if package in (*path, name)[:1]:
                    found.update(_defining(root.joinpath(*path), name))
    return frozenset(found)


def _import_statements(text: str) -> Iterator[ast.AST]:
    """The import statements of a source, among other nodes.

    Parsing only the lines that begin one takes a tenth of the time. They are complete if they
    contain every word `import`; otherwise (a docstring has one) the whole source is parsed.
    """
    lines = [match[0].strip() for match in LINE.finditer(text)]
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        tree = None
    if tree is None or len(tree.body) != len(WORD.findall(text)):
        tree = ast.parse(text)
    yield from ast.walk(tree)


def _defining(module: Path, name: str) -> list[Path]:
    """The file from which `from module import name` takes the name, if it can be found."""
    candidates = [
        module / f"{name}.py",
        module / name / "__init__.py",
        module / "__init__.py",
        module.with_suffix(".py"),
    ]
    return [file for file in candidates if file.is_file()][:1]


class _Locator(_CacheLocator):
    """The folders and the key of a function's cache files.

    Attributes:
        readable: folders that come before the one that is written.
        writable: whether any folder can be written.

    Raises:
        OSError: the source cannot be read.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._py_file = (
            function.__code__.co_filename
        )  # numba reads it where a function has no cache
        self._line = function.__code__.co_firstlineno
        _, self._key = _snapshot(Path(self._py_file), function.__module__)
        self.readable: list[str] = []
        for folder in map(str, _folders(self._py_file)):
            self._folder, self.writable = folder, _can_be_written(folder)
            if self.writable:
                return
            self.readable.append(folder)

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> str:
        return self._key

    def get_disambiguator(self) -> str:
        return f"{self._line}-{self._key[:16]}"


@cache  # creates a file
def _can_be_written(folder: str) -> bool:
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _folders(file: str) -> Iterator[Path]:
    """The folders for cache files of a source file, in order of preference."""
    subfolder = _CacheLocator.get_suitable_cache_subpath(file)
    if chosen := getattr(config, "CACHE_DIR", ""):
        yield Path(chosen, subfolder)
    yield Path(file).parent / "__pycache__"
    yield Path(AppDirs(appname="pdeops", appauthor=False).user_cache_dir, "numba", subfolder)


class _Implementation(CompileResultCacheImpl):
    """numba's implementation, always with `_Locator` (numba's choice depends on its settings)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._locator = _Locator(function)
        name = f"{Path(function.__code__.co_filename).stem}.{function.__qualname__}"
        self._filename_base = self.get_filename_base(name, getattr(sys, "abiflags", ""))


class _KernelCache(FunctionCache):
    """The cache of one function; saving removes the files of older sources of its module."""

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        impl = self._impl
        self._files = [  # in order of preference
            IndexDataCacheFile(folder, impl.filename_base, impl.locator.get_source_stamp())
            for folder in impl.locator.readable
        ]
        if impl.locator.writable:
            self._files.append(self._cache_file)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """What is found; None, and the function is compiled again, where a file is damaged.

        numba would first load its implementations of all of Python and numpy, half a second that
        only a compilation needs. Loaded code needs the allocator alone.
        """
        rtsys.initialize(target_context)
        key = self._index_key(signature, target_context.codegen())
        for file in self._files:
            try:
                data = file.load(key)
                if data is not None:
                    return self._impl.rebuild(target_context, data)
            except Exception:  # what pickle raises depends on the damage
                if file is self._cache_file:
                    name = f"{self._impl.filename_base}.nbi"
                    Path(self.cache_path, name).unlink(missing_ok=True)
        return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Save a compiled function; where that is impossible, it will be compiled again."""
        if not self._impl.locator.writable:
            _warn_once()
            return
        try:
            super().save_overload(signature, data)
        except OSError as error:  # the disk is full, the folder was removed
            warnings.warn(f"{self.cache_path}: {error}", RuntimeWarning, stacklevel=2)
            return
        prune(Path(self.cache_path), self._impl.filename_base)


def prune(folder: Path, name: str) -> None:
    """Remove cache files of a module whose key differs from that in `name`.

    `name` is module.function-line-key.python. Files of other modules and Python versions stay, and
    those that another process is still writing (.tmp).
    """
    stem, python = name.rsplit(".", 1)
    module, current = stem.split(".")[0], stem.rsplit("-", 1)[1]
    for file in folder.glob(f"{module}.*.{python}.*"):
        if file.suffix in (".nbi", ".nbc") and f"-{current}.{python}." not in file.name:
            try:
                file.unlink(missing_ok=True)
            except OSError:  # another process has it open (Windows)
                continue
