"""Recipes: TOML files that say all a run depends on, checked against the constructors they name."""

import hashlib
import inspect
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin

from ..datasets.systems import SYSTEMS
from ..losses import LOSSES
from ..models import CORRECTIONS, MODELS
from ..nearest import did_you_mean
from ..training.objectives import OBJECTIVES
from ..training.optim import OPTIMIZERS, SCHEDULES
from ..training.options import TrainingOptions

# What the run passes to a constructor itself; a recipe never names these.
_FROM_THE_RUN = ("self", "in_channels", "out_channels", "grid", "ndim", "seed")


@dataclass(frozen=True)
class Choice:
    """A class of a registry, by name, and the arguments to call it with."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataTable:
    """Which files a run reads and how the training file is used.

    Attributes:
        train: file to train on.
        test: file on the same grid to evaluate on when none is named; its samples are never looked
            at while training.
        validation: samples held out from the end of `train` (a count, or a fraction below 1), or a
            file of their own.
        samples: use only the first so many samples of `train`, before any are held out.
        symmetries: move each training sample by a random symmetry of the box, in every epoch anew.
            Right only where equation and boundary share it (Darcy flow with f = 1 does).
        average_symmetries: predict the average over these symmetries, 8 evaluations on a square.

    Raises:
        ValueError: nothing to train on or to validate with.
    """

    train: str
    test: str | None = None
    validation: int | float | str = 0.1
    samples: int | None = None
    symmetries: bool = False
    average_symmetries: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.validation, str) and not self.validation > 0:
            raise ValueError(
                f"data.validation is a file, a number of samples or a fraction below 1, above 0; "
                f"got {self.validation}."
            )
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"data.samples must be at least 1; got {self.samples}.")


_Registry = Mapping[str, Callable[..., Any]]
_AnyRecipe = TypeVar("_AnyRecipe", bound="_Tables")


class _Tables:
    """Tables and TOML, alike in recipes of both kinds: dataclasses that list their tables here."""

    name: str
    seed: int
    built: ClassVar[Mapping[str, type]] = {}
    chosen: ClassVar[Mapping[str, _Registry]] = {}

    @classmethod
    def load(
        cls: type[_AnyRecipe], source: str | Path, overrides: Iterable[str] = ()
    ) -> _AnyRecipe:
        """The recipe in a file, or shipped with the package; then `key=value` overrides."""
        return cls.from_dict(_tables(source, overrides))

    @classmethod
    def from_dict(cls: type[_AnyRecipe], plain: Mapping[str, Any]) -> _AnyRecipe:
        """The recipe that nested plain tables describe."""
        _check_keys(plain, [f.name for f in fields(cls)], "recipe")  # type: ignore[arg-type]
        arguments: dict[str, Any] = {
            "name": _coerce(plain.get("name", "run"), str, "name"),
            "seed": _coerce(plain.get("seed", 0), int, "seed"),
            "training": _build(TrainingOptions, plain.get("training", {}), "training"),
        }
        for table in (*cls.built, *cls.chosen):
            if not hasattr(cls, table) and not isinstance(plain.get(table), Mapping):
                raise ValueError(f"A recipe needs a table [{table}]; got {sorted(plain)}.")
        for table, make in cls.built.items():
            arguments[table] = _build(make, plain[table], table)
        for table, registry in cls.chosen.items():
            if table in plain:
                arguments[table] = _choose(registry, plain[table], table)
            else:
                default = getattr(cls, table)
                arguments[table] = _choose(registry, {"name": default.name}, table)
        return cls(**arguments)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain tables; `from_dict` reads them."""
        plain: dict[str, Any] = {"name": self.name, "seed": self.seed}
        for table in (*self.built, *self.chosen, "training"):
            value = getattr(self, table)
            if isinstance(value, Choice):
                plain[table] = {"name": value.name, **value.arguments}
            else:
                plain[table] = {f.name: getattr(value, f.name) for f in fields(value)}
        return plain

    def to_toml(self) -> str:
        """The recipe as TOML text, every default written out (None is left out)."""
        plain = self.to_dict()
        lines = [f"{key} = {_toml(v)}" for key, v in plain.items() if not isinstance(v, dict)]
        for table, entries in plain.items():
            if isinstance(entries, dict):
                lines += ["", f"[{table}]"]
                lines += [f"{key} = {_toml(v)}" for key, v in entries.items() if v is not None]
        return "\n".join(lines) + "\n"

    @property
    def digest(self) -> str:
        """Six hexadecimal digits that differ when anything in the recipe does."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()[:6]


@dataclass(frozen=True)
class Recipe(_Tables):
    """All that a run on pairs of fields depends on; `to_toml` and `load` are inverse to each other.

    Raises:
        ValueError: an unknown table or key (with the nearest valid one), or a wrong type.
    """

    built: ClassVar[Mapping[str, type]] = {"data": DataTable}
    chosen: ClassVar[Mapping[str, _Registry]] = {
        "model": MODELS,
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }

    name: str
    data: DataTable
    model: Choice
    loss: Choice = Choice("RelativeL2")
    optimizer: Choice = Choice("AdamW")
    schedule: Choice = Choice("OneCycle")
    training: TrainingOptions = field(default_factory=TrainingOptions)
    seed: int = 0


@dataclass(frozen=True)
class SystemsRecipe(_Tables):
    """The same for a network inside a solver, which trains on linear systems without solutions.

    Raises:
        ValueError: as for `Recipe`.
    """

    chosen: ClassVar[Mapping[str, _Registry]] = {
        "systems": SYSTEMS,
        "model": CORRECTIONS,
        "objective": OBJECTIVES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }

    name: str
    systems: Choice
    model: Choice
    objective: Choice
    optimizer: Choice = Choice("AdamW")
    schedule: Choice = Choice("OneCycle")
    training: TrainingOptions = field(default_factory=TrainingOptions)
    seed: int = 0


def load_recipe(source: str | Path, overrides: Iterable[str] = ()) -> Recipe | SystemsRecipe:
    """The recipe in a file, or shipped with the package, of the kind it is: with a table [systems]
    one for a network inside a solver."""
    plain = _tables(source, overrides)
    return SystemsRecipe.from_dict(plain) if "systems" in plain else Recipe.from_dict(plain)


def shipped_recipes() -> list[str]:
    """Names of the recipes inside the package."""
    folder = resources.files("pdeops.configs")
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(".toml"))


def _tables(source: str | Path, overrides: Iterable[str]) -> dict[str, Any]:
    """The nested plain tables of a recipe file, `key=value` overrides put in."""
    try:
        plain = tomllib.loads(_read(source))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} is not valid TOML: {error}.") from None
    for override in overrides:
        put(plain, override)
    return plain


def _read(source: str | Path) -> str:
    """Text of a recipe file, or of a shipped recipe named with or without its ending."""
    path = Path(source)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    name = path.name.removesuffix(".toml") + ".toml"
    # configs/NAME names the shipped recipe also where no such folder is at hand.
    if path.parent in (Path("."), Path("configs")) and name in shipped_recipes():
        return (resources.files("pdeops.configs") / name).read_text(encoding="utf-8")
    raise ValueError(
        f"No recipe {str(source)!r}: neither a file nor a shipped recipe."
        f"{did_you_mean(name, shipped_recipes())} Shipped: {', '.join(shipped_recipes())}."
    )


def put(plain: dict[str, Any], text: str) -> None:
    """Put `a.b=value` into nested tables; the value is read as TOML, else as a bare string."""
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ValueError(f"An override reads key=value, as in optimizer.lr=1e-3; got {text!r}.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    table = plain
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ValueError(f"Override {text!r}: {part!r} is a value, not a table.")
    if path[-1] == "name" and len(path) == 2 and table.get("name") != parsed:
        table.clear()  # the arguments of one class are not those of another
    table[path[-1]] = parsed


def _choose(registry: Mapping[str, Callable[..., Any]], plain: Any, table: str) -> Choice:
    """The named class of a registry with its arguments checked and its defaults filled in."""
    if not isinstance(plain, Mapping) or "name" not in plain:
        raise ValueError(f"Table [{table}] needs a name; choose from {', '.join(registry)}.")
    name = plain["name"]
    if name not in registry:
        raise ValueError(
            f"Unknown {table} {name!r}.{did_you_mean(str(name), registry)} "
            f"Choose from {', '.join(registry)}."
        )
    given = {key: value for key, value in plain.items() if key != "name"}
    return Choice(name, _arguments(registry[name], given, table))


def _build(cls: Callable[..., Any], plain: Any, table: str) -> Any:
    """An instance of a dataclass from a table."""
    if not isinstance(plain, Mapping):
        raise ValueError(f"[{table}] is a table; got {plain!r}.")
    return cls(**_arguments(cls, plain, table))


def _arguments(call: Callable[..., Any], given: Mapping[str, Any], table: str) -> dict[str, Any]:
    """The arguments of a call: those given, checked by the annotations, defaults for the rest."""
    parameters = {
        name: p
        for name, p in inspect.signature(call).parameters.items()
        if name not in _FROM_THE_RUN
    }
    _check_keys(given, list(parameters), f"[{table}]")
    arguments = {}
    for name, parameter in parameters.items():
        if name in given:
            arguments[name] = _coerce(given[name], parameter.annotation, f"{table}.{name}")
        elif parameter.default is parameter.empty:
            raise ValueError(f"{table}.{name} is missing; set it with --set {table}.{name}=VALUE.")
        else:
            default = parameter.default
            arguments[name] = list(default) if isinstance(default, tuple) else default
    return arguments


def _check_keys(given: Iterable[str], valid: Sequence[str], where: str) -> None:
    for key in given:
        if key not in valid:
            raise ValueError(
                f"Unknown key {key!r} in {where}.{did_you_mean(key, valid)} "
                f"Valid: {', '.join(valid)}."
            )


def _coerce(value: Any, annotation: Any, key: str) -> Any:
    """The value as annotated: an int may stand for a float, a list for a tuple, nothing else."""
    if get_origin(annotation) in (Union, types.UnionType):
        options = get_args(annotation)
        # The exact type first, so that 100 stays an int under `int | float | str`.
        for option in sorted(options, key=lambda o: o is not type(value)):
            try:
                return _coerce(value, option, key)
            except ValueError:
                continue
    elif annotation is inspect.Parameter.empty or annotation is Any:
        return value
    elif annotation in (None, type(None)):
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
    wanted = getattr(annotation, "__name__", str(annotation))
    raise ValueError(f"{key} must be of type {wanted}; got {value!r} ({type(value).__name__}).")


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
    raise ValueError(f"A recipe holds numbers, strings, booleans and lists; got {value!r}.")
