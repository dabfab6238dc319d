"""Recipes: TOML files with all settings of a run.

This file defines the syntax: TOML <-> typed tables, checked against the constructors they name.
The tables of a recipe are those of its task (`pdeops.tasks`), declared in a dataclass:

    @dataclass(frozen=True, kw_only=True)
    class SomeRecipe(Recipe):
        task: ClassVar[str] = "some"
        data: DataTable = table(DataTable)           # the keys are the fields of a dataclass
        model: Choice = choice(MODELS, given=("in_channels", "out_channels", "grid"))
        loss: Choice = choice(LOSSES, "RelativeL2")  # the name of a class, and its arguments

A file may hold several sizes of one job: `size = "cpu"` merges the table [sizes.cpu], whose keys
are dotted ("training.epochs" = 5), into the others, and `--set size=gpu` another one.
"""

import dataclasses
import hashlib
import inspect
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin

from ..nearest import did_you_mean

Registry = Mapping[str, Callable[..., Any]]
# Metadata of a field of a table that holds the path of a file.
PATH = {"path": True}
_AnyRecipe = TypeVar("_AnyRecipe", bound="Recipe")


@dataclass(frozen=True)
class Choice:
    """The name of a class in a registry, and the arguments of its constructor."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


def table(make: type) -> Any:
    """A table whose keys are the fields of a dataclass; optional if all fields have defaults."""
    optional = all(_has_default(f) for f in fields(make))
    default: dict[str, Any] = {"default_factory": make} if optional else {}
    return field(metadata={"build": make}, **default)


def choice(registry: Registry, default: str | None = None, *, given: Sequence[str] = ()) -> Any:
    """A table that names a class of a registry and its arguments; optional if there is a default.

    Args:
        given: arguments that the run passes to the constructor; a recipe must not contain them.
    """
    chosen: dict[str, Any] = {} if default is None else {"default": Choice(default)}
    return field(metadata={"registry": registry, "given": tuple(given)}, **chosen)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Base class of all recipes; `read_tables` and `from_dict` read the text of `to_toml`.

    Attributes:
        task: the kind of job, a key of `pdeops.tasks.TASKS`.
        name: name of the run in folders and reports.
        seed: seed of all random numbers in the run.
    """

    task: ClassVar[str]
    name: str = "run"
    seed: int = 0

    @classmethod
    def tables(cls) -> dict[str, "dataclasses.Field[Any]"]:
        """The tables by name: those of the task, then those shared by all tasks."""
        known = {f.name: f for f in fields(cls) if f.metadata}
        specific = [name for name in cls.__annotations__ if name in known]
        return {name: known[name] for name in (*specific, *known)}

    @classmethod
    def from_dict(cls: type[_AnyRecipe], plain: Mapping[str, Any]) -> _AnyRecipe:
        """The recipe that nested plain tables describe.

        Raises:
            ValueError: a table is missing, a table or key is unknown (the message names the nearest
                valid one), or a value is of the wrong type.
        """
        tables = cls.tables()
        _check_keys(plain, ["task", "name", "seed", *tables], "recipe")
        arguments: dict[str, Any] = {
            "name": _coerce(plain.get("name", "run"), str, "name"),
            "seed": _coerce(plain.get("seed", 0), int, "seed"),
        }
        missing = [n for n, f in tables.items() if n not in plain and not _has_default(f)]
        if missing:
            raise ValueError(
                f"A recipe of the task {cls.task!r} needs a table [{missing[0]}]; got "
                f"{sorted(plain)}."
            )
        for name, f in tables.items():
            arguments[name] = _entry(f, plain.get(name), name)
        return cls(**arguments)

    def with_paths(self: _AnyRecipe, change: Callable[[str], str]) -> _AnyRecipe:
        """The recipe with `change(path)` for the path of each file that it names."""
        changed = {}
        for name in self.tables():
            entries = getattr(self, name)
            paths = {
                f.name: change(getattr(entries, f.name))
                for f in (() if isinstance(entries, Choice) else fields(entries))
                if f.metadata.get("path") and isinstance(getattr(entries, f.name), str)
            }
            if paths:
                changed[name] = dataclasses.replace(entries, **paths)
        return dataclasses.replace(self, **changed)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain tables; `from_dict` reads them."""
        plain: dict[str, Any] = {"task": self.task, "name": self.name, "seed": self.seed}
        for name in self.tables():
            value = getattr(self, name)
            if isinstance(value, Choice):
                plain[name] = {"name": value.name, **value.arguments}
            else:
                plain[name] = dataclasses.asdict(value)
        return plain

    def to_toml(self) -> str:
        """The recipe as TOML text with every default written out; None is left out."""
        plain = self.to_dict()
        lines = [f"{key} = {_toml(v)}" for key, v in plain.items() if not isinstance(v, dict)]
        for name, entries in plain.items():
            if isinstance(entries, dict):
                lines += ["", f"[{name}]"]
                lines += [f"{key} = {_toml(v)}" for key, v in entries.items() if v is not None]
        return "\n".join(lines) + "\n"

    @property
    def digest(self) -> str:
        """Six hexadecimal digits of the recipe's hash."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()[:6]


def shipped_recipes() -> list[str]:
    """Names of the recipes shipped with the package."""
    folder = resources.files("pdeops.configs")
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(".toml"))


def recipe_text(source: str | Path) -> str:
    """Text of a recipe file, or of a shipped recipe named with or without its suffix.

    Raises:
        ValueError: the recipe does not exist.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path.read_text(encoding="utf-8")
    name = path.name.removesuffix(".toml") + ".toml"
    # configs/NAME also names the shipped recipe if that file does not exist.
    if path.parent in (Path("."), Path("configs")) and name in shipped_recipes():
        return (resources.files("pdeops.configs") / name).read_text(encoding="utf-8")
    raise ValueError(
        f"No recipe {str(source)!r}: neither a file nor a shipped recipe."
        f"{did_you_mean(name, shipped_recipes())} Shipped: {', '.join(shipped_recipes())}."
    )


def read_tables(source: str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The plain tables of a recipe file, or of a shipped recipe, after `key=value` overrides.

    Raises:
        ValueError: the recipe does not exist, it is not valid TOML, or an override is malformed.
    """
    try:
        plain = tomllib.loads(recipe_text(source))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} is not valid TOML: {error}.") from None
    overrides = list(overrides)
    for override in overrides:
        put(plain, override)
    if "size" in plain or "sizes" in plain:
        _put_size(plain)
        for override in overrides:  # they win over the size
            if override.partition("=")[0].strip() != "size":
                put(plain, override)
    return plain


def _put_size(plain: dict[str, Any]) -> None:
    """Replace `size` and the tables [sizes.NAME] by the entries of the size.

    Raises:
        ValueError: there is no such size.
    """
    sizes, size = plain.pop("sizes", {}), plain.pop("size", None)
    if size not in sizes:
        raise ValueError(
            f"This recipe has no size {size!r}.{did_you_mean(str(size), sizes)} Choose from "
            f"{', '.join(sizes) or 'none'}, as in --set size={next(iter(sizes), 'NAME')}."
        )
    for key, value in sizes[size].items():
        *path, last = key.split(".")
        entries = plain
        for part in path:
            entries = entries.setdefault(part, {})
        entries[last] = value


def put(plain: dict[str, Any], text: str) -> None:
    """Set `a.b=value` in nested tables; a value that is not TOML is a string."""
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ValueError(f"An override reads key=value, as in optimizer.lr=1e-3; got {text!r}.")
    try:
        entry = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        entry = value.strip()
    entries = plain
    for part in path[:-1]:
        entries = entries.setdefault(part, {})
        if not isinstance(entries, dict):
            raise ValueError(f"Override {text!r}: {part!r} is a value, not a table.")
    if path[-1] == "name" and len(path) == 2 and entries.get("name") != entry:
        entries.clear()  # another class has other arguments
    entries[path[-1]] = entry


def parsed(settings: Iterable[str]) -> dict[str, Any]:
    """The tables of settings `a.b=value`; see `put`."""
    tables: dict[str, Any] = {}
    for text in settings:
        put(tables, text)
    return tables


def _has_default(f: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return f.default is not missing or f.default_factory is not missing


def _entry(f: "dataclasses.Field[Any]", plain: Any, name: str) -> Any:
    """The value of a table in a recipe; `plain` is None if the table is left out."""
    if "build" in f.metadata:
        return _build(f.metadata["build"], {} if plain is None else plain, name)
    if plain is None:
        assert isinstance(f.default, Choice)
        plain = {"name": f.default.name}
    return _choose(f.metadata["registry"], plain, name, f.metadata["given"])


def _choose(registry: Registry, plain: Any, where: str, given: Sequence[str]) -> Choice:
    """The choice of a class with its arguments checked and completed by defaults."""
    if not isinstance(plain, Mapping):
        raise ValueError(f"A recipe needs a table [{where}]; got {plain!r}.")
    if "name" not in plain:
        raise ValueError(f"Table [{where}] needs a name; choose from {', '.join(registry)}.")
    name = plain["name"]
    if not isinstance(name, str) or name not in registry:
        raise ValueError(
            f"Unknown {where} {name!r}.{did_you_mean(str(name), registry)} "
            f"Choose from {', '.join(registry)}."
        )
    arguments = {key: value for key, value in plain.items() if key != "name"}
    return Choice(name, _arguments(registry[name], arguments, where, given))


def _build(make: Callable[..., Any], plain: Any, where: str) -> Any:
    """An instance of a dataclass from a table."""
    if not isinstance(plain, Mapping):
        raise ValueError(f"A recipe needs a table [{where}]; got {plain!r}.")
    return make(**_arguments(make, plain, where))


def _arguments(
    call: Callable[..., Any], plain: Mapping[str, Any], where: str, given: Sequence[str] = ()
) -> dict[str, Any]:
    """The arguments of a call: those of the table, checked by their annotations, and defaults."""
    parameters = {n: p for n, p in signature(call).parameters.items() if n not in (*given, "self")}
    _check_keys(plain, list(parameters), f"[{where}]")
    arguments = {}
    for name, parameter in parameters.items():
        if name in plain:
            arguments[name] = _coerce(plain[name], parameter.annotation, f"{where}.{name}")
        elif parameter.default is parameter.empty:
            raise ValueError(f"{where}.{name} is missing; set it with --set {where}.{name}=VALUE.")
        else:
            default = parameter.default
            arguments[name] = list(default) if isinstance(default, tuple) else default
    return arguments


def signature(call: Callable[..., Any]) -> inspect.Signature:
    """The signature, with its annotations evaluated if possible."""
    try:
        return inspect.signature(call, eval_str=True)
    except (NameError, AttributeError, TypeError):  # a name that is imported for type checking only
        return inspect.signature(call)


def _check_keys(given: Iterable[str], valid: Sequence[str], where: str) -> None:
    for key in given:
        if key not in valid:
            raise ValueError(
                f"Unknown key {key!r} in {where}.{did_you_mean(key, valid)} "
                f"Valid: {', '.join(valid)}."
            )


def _coerce(value: Any, annotation: Any, key: str) -> Any:
    """The value, checked against its annotation. An int may be given for a float, a list for a
    tuple, and a table for a dataclass."""
    if dataclasses.is_dataclass(annotation) and isinstance(value, Mapping):
        return _build(annotation, value, key)  # type: ignore[arg-type]
    if get_origin(annotation) in (Union, types.UnionType):
        return _coerce_union(value, annotation, key)
    if annotation is inspect.Parameter.empty or annotation is Any or isinstance(annotation, str):
        return value
    if annotation in (None, type(None)):
        if value is None:
            return None
    elif annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif get_origin(annotation) in (tuple, list, Sequence):
        if isinstance(value, list | tuple):
            inner = next((a for a in get_args(annotation) if a is not Ellipsis), Any)
            return [_coerce(v, inner, key) for v in value]
    elif (
        isinstance(annotation, type)
        and isinstance(value, annotation)
        and not (isinstance(value, bool) and annotation is not bool)
    ):
        return value
    raise _wrong_type(value, annotation, key)


def _coerce_union(value: Any, annotation: Any, key: str) -> Any:
    """The value in the first type of the union that fits; its exact type is tried first, so that
    100 stays an int for `int | float | str`."""
    options = sorted(get_args(annotation), key=lambda o: o is not type(value))
    if isinstance(value, Mapping):  # the error for the nested table is more specific
        for option in filter(dataclasses.is_dataclass, options):
            return _coerce(value, option, key)
    for option in options:
        try:
            return _coerce(value, option, key)
        except ValueError:
            continue
    raise _wrong_type(value, annotation, key)


def _wrong_type(value: Any, annotation: Any, key: str) -> ValueError:
    wanted = getattr(annotation, "__name__", str(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        wanted = str(annotation)
    return ValueError(f"{key} must be of type {wanted}; got {value!r} ({type(value).__name__}).")


def _toml(value: Any) -> str:
    """A plain value as TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case list() | tuple():
            return "[" + ", ".join(_toml(v) for v in value) + "]"
        case dict():
            entries = [f"{k} = {_toml(v)}" for k, v in value.items() if v is not None]
            return "{" + ", ".join(entries) + "}"
    raise ValueError(f"A recipe holds numbers, strings, booleans, lists and tables; got {value!r}.")
