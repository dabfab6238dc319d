"""User-defined classes, such as models: a recipe names them by `module:Class` or `file.py:Class`.

A run keeps a copy of the file in its folder, and the hash of the file or module in its checkpoints.
Loading such a run imports the copy or the module and so executes its code: load only runs that you
trust.
"""

import hashlib
import importlib.util
import inspect
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ..nearest import did_you_mean
from ..runs.recipe import Choice, signature

FOLDER = "model"  # subfolder of a run that holds the copy of the file


class Models(Mapping[str, type[Any]]):
    """A registry of models that also finds classes by `module:Class` or `file.py:Class`.

    Iteration and length are those of the registry alone.

    Args:
        registry: name -> class.
        given: names of the leading arguments of the constructor; `a|b` allows either name.
        keywords: names of further arguments that the run passes to some models.
        base: the class that all are derived from.

    Raises:
        ValueError: on look-up, if the file or module does not import, the class is not derived from
            `base`, or its constructor does not begin with `given`.
    """

    def __init__(
        self,
        registry: Mapping[str, type[Any]],
        given: Sequence[str],
        keywords: Sequence[str] = (),
        base: type = nn.Module,
    ) -> None:
        self.registry, self._given, self.keywords = registry, tuple(given), tuple(keywords)
        self._base = base

    @property
    def given(self) -> tuple[str, ...]:
        """The names of all arguments that the run passes and a recipe must not contain."""
        leading = tuple(name for names in self._given for name in names.split("|"))
        return (*leading, *self.keywords)

    def __getitem__(self, name: str) -> type[Any]:
        if name in self.registry:
            return self.registry[name]
        if not is_path(name):
            raise KeyError(name)
        model = _class_at(name, self._base)
        leading = list(signature(model).parameters)[: len(self._given)]
        fits = [n in names.split("|") for n, names in zip(leading, self._given, strict=False)]
        if len(fits) < len(self._given) or not all(fits):
            wanted = ", ".join(names.replace("|", " or ") for names in self._given)
            raise ValueError(
                f"The constructor of {name} must begin with the arguments ({wanted}); it begins "
                f"with ({', '.join(leading)}). The run passes them, the recipe the others."
            )
        return model

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.registry or is_path(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.registry)

    def __len__(self) -> int:
        return len(self.registry)

    def build(
        self, described: Mapping[str, Any], folder: Path | None, *given: Any, **keywords: Any
    ) -> Any:
        """The model that a checkpoint describes, freshly initialised.

        Args:
            described: the result of `describe`.
            folder: the run's folder, which holds the copy of the file; None before training.
            given: the leading arguments of the constructor.
            keywords: further arguments of the constructor that the run passes.

        Raises:
            ValueError: the source of a user-defined model is missing or has changed.
        """
        name = self._present(described["name"], folder)
        if "sha256" in described and _digest(name) != described["sha256"]:
            raise ValueError(
                f"The source of {name} has changed since the run was trained: its sha256 was "
                f"{described['sha256'][:12]}..., now it is {_digest(name)[:12]}.... Restore the "
                f"old source, or train again. A file (file.py:Class) is kept with the run."
            )
        return self[name](*given, **keywords, **described["arguments"])

    def named(self, described: Mapping[str, Any], folder: Path | None) -> type[Any]:
        """The class that a checkpoint describes."""
        return self[self._present(described["name"], folder)]

    def _present(self, name: str, folder: Path | None) -> str:
        """The located name, if it is in the registry or a path.

        Raises:
            ValueError: the name is unknown.
        """
        if name not in self:
            raise ValueError(
                f"The checkpoint names the model {name!r}, which this pdeops does not have."
                f"{did_you_mean(str(name), self.registry)} It has {', '.join(self.registry)}."
            )
        return located(name, folder)


def is_path(name: str) -> bool:
    """Whether a name is `module:Class` or `file.py:Class` instead of a registry key."""
    return ":" in name


def describe(model: Choice) -> dict[str, Any]:
    """Name and arguments of a model for a checkpoint; for a user's model also the source's hash."""
    described: dict[str, Any] = {"name": model.name, "arguments": dict(model.arguments)}
    if not is_path(model.name):
        return described
    path, attribute = _split(model.name)
    if path.endswith(".py"):
        described["name"] = f"{Path(path).name}:{attribute}"  # the copy keeps this file name
    return {**described, "sha256": _digest(model.name)}


def keep(choices: Sequence[Choice], folder: Path) -> list[Path]:
    """Copy the files of user-defined classes into the run's folder; returns the files written.

    Raises:
        ValueError: two different files, or one of them and a file of the folder, have the same
            name; nothing is written then.
    """
    paths = [_split(choice.name)[0] for choice in choices if is_path(choice.name)]
    files: dict[Path, Path] = {}  # copy -> file
    for file in map(Path, paths):
        if file.suffix != ".py":
            continue
        copy = folder / FOLDER / file.name
        other = files.setdefault(copy, file)
        if other.read_bytes() != file.read_bytes():
            raise ValueError(
                f"A run keeps its files under their names, so {other} and {file} need different "
                f"names. Rename one of them, or put their classes in one file."
            )
        if copy.exists():
            raise ValueError(f"{copy} exists already; choose another --out.")
    for copy, file in files.items():
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
    return list(files)


def located(name: str, folder: Path | None) -> str:
    """The name of a model; `file.py:Class` is changed to the copy of the file in the run's folder.

    Args:
        folder: the run's folder; None before training, when the name stays as it is.

    Raises:
        ValueError: the copy is missing.
    """
    path, attribute = _split(name) if is_path(name) else ("", "")
    if not path.endswith(".py") or folder is None:
        return name
    copy = folder / FOLDER / Path(path).name
    if not copy.is_file():
        raise ValueError(
            f"The run needs the file of its model, {copy}, which is missing. Copy it there again: "
            f"the recipe named it {path}."
        )
    return f"{copy}:{attribute}"


def _split(name: str) -> tuple[str, str]:
    path, _, attribute = name.rpartition(":")
    if not path or not attribute.isidentifier():
        raise ValueError(
            f"A model of your own is named module:Class or file.py:Class; got {name!r}."
        )
    return os.path.expanduser(path) if path.endswith(".py") else path, attribute


def _class_at(name: str, base: type) -> type[Any]:
    path, attribute = _split(name)
    module = _imported(path)

    def fits(value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, base)

    classes = [n for n, v in vars(module).items() if fits(v)]
    kind = "torch modules" if base is nn.Module else f"classes derived from {base.__name__}"
    if not hasattr(module, attribute):
        raise ValueError(
            f"{path} has no attribute {attribute!r}.{did_you_mean(attribute, classes)} Its {kind}: "
            f"{', '.join(classes) or 'none'}."
        )
    found = getattr(module, attribute)
    if not fits(found):
        wanted = "torch.nn.Module" if base is nn.Module else base.__name__
        raise ValueError(
            f"{name} must be a class of {wanted}; got {found!r}. Its {kind}: "
            f"{', '.join(classes) or 'none'}."
        )
    return found


def function_at(name: str) -> Callable[..., Any]:
    """The function that `module:function` or `file.py:function` names.

    Raises:
        ValueError: the file or module is missing, or has no function of this name.
    """
    path, attribute = _split(name)
    module = _imported(path)
    found = getattr(module, attribute, None)
    if not callable(found):
        functions = [n for n, v in vars(module).items() if inspect.isfunction(v)]
        raise ValueError(
            f"{path} has no function {attribute!r}.{did_you_mean(attribute, functions)} Its "
            f"functions: {', '.join(functions) or 'none'}."
        )
    return found


def _imported(path: str) -> ModuleType:
    """The module with this name, or defined by this file.

    Raises:
        ValueError: the file or module is missing, or its code raises an error.
    """
    try:
        return _from_file(Path(path)) if path.endswith(".py") else importlib.import_module(path)
    except (Exception, SystemExit) as error:
        advice = (
            "Check the path."
            if path.endswith(".py")
            else ("Install the package it is in, or name its file instead: file.py:Class.")
        )
        raise ValueError(
            f"{path} does not import ({type(error).__name__}: {error}). {advice}"
        ) from error


def _from_file(file: Path) -> ModuleType:
    """The module that a file defines, imported under a name with the hash of its content.

    The file must not import neighbouring files: they are not copied into the run's folder.
    """
    source = file.read_bytes()
    name = f"pdeops_own_model_{hashlib.sha256(source).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look it up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _digest(name: str) -> str:
    """The sha256 of the source file of a model named by its path."""
    path, _ = _split(name)
    file = path if path.endswith(".py") else inspect.getsourcefile(_imported(path))
    if file is None or not Path(file).is_file():
        raise ValueError(
            f"There is no source file of {path}; name the model's file: file.py:Class."
        )
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
