"""The axes of a search over hyperparameters: recipe keys and their values."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .task import TrainingRecipe

DECADE = 10.0  # a positive interval at least this wide is searched on the logarithmic scale
# Names that models give to their width and depth.
WIDTHS = ("hidden_channels",)
DEPTHS = ("n_layers", "num_layers", "num_blocks")


@dataclass(frozen=True)
class Axis:
    """A recipe key and its values: an interval, or a list.

    Attributes:
        key: dotted, such as "optimizer.lr".
        low, high: ends of the interval; its values are integers if both are.
        choices: the values as TOML, if there is no interval.
    """

    key: str
    low: float | int = 0
    high: float | int = 0
    choices: tuple[str, ...] = ()

    @classmethod
    def parsed(cls, text: str) -> "Axis":
        """From KEY=LOW..HIGH or KEY=[VALUE, VALUE, ...], as on the command line.

        Raises:
            ValueError: it has neither form, the interval is empty, or there is one value.
        """
        key, _, given = (part.strip() for part in text.partition("="))
        try:
            if not key:
                raise ValueError("there is no key")
            if ".." in given:
                low, high = (_number(end) for end in given.split(".."))
                if not low < high:
                    raise ValueError("the interval is empty")
                return cls(key, low, high)
            values = tomllib.loads(f"value = {given}")["value"]
            if not isinstance(values, list) or len(values) < 2:
                raise ValueError("that is no list of two values or more")
        except ValueError as error:  # also of tomllib
            raise ValueError(
                f"An axis of the search is KEY=LOW..HIGH, as in optimizer.lr=1e-4..1e-2, or "
                f"KEY=[VALUE, VALUE], as in model.hidden_channels=[16, 24, 32]; got {text!r}: "
                f"{error}."
            ) from None
        return cls.of(key, values)

    @classmethod
    def of(cls, key: str, values: Sequence[Any]) -> "Axis":
        """The axis of a list of values."""
        return cls(key, choices=tuple(json.dumps(value) for value in values))

    @property
    def logarithmic(self) -> bool:
        """Whether the interval is searched on the logarithmic scale."""
        return self.low > 0 and self.high >= DECADE * self.low

    def suggest(self, trial: Any) -> str:
        """The value of an optuna trial, as TOML."""
        if self.choices:
            return str(trial.suggest_categorical(self.key, self.choices))
        integers = isinstance(self.low, int) and isinstance(self.high, int)
        ask = trial.suggest_int if integers else trial.suggest_float
        return repr(ask(self.key, self.low, self.high, log=self.logarithmic))

    def place_of(self, value: Any) -> Any:
        """A value of a recipe as optuna names it; None if it does not lie on the axis."""
        if self.choices:
            text = json.dumps(value)
            return text if text in self.choices else None
        inside = isinstance(value, int | float) and self.low <= value <= self.high
        return value if inside else None

    def __str__(self) -> str:
        if self.choices:
            return f"{self.key} = {', '.join(self.choices)}"
        return f"{self.key} = {self.low:g} .. {self.high:g}"


def usual_axes(recipe: TrainingRecipe) -> list[Axis]:
    """Learning rate, width and depth around those of a recipe, as far as it has them."""
    plain = recipe.to_dict()
    axes = []
    rate = plain["optimizer"].get("lr")
    if isinstance(rate, float) and rate > 0:
        axes.append(Axis("optimizer.lr", rate / DECADE, rate * DECADE))
    model = plain.get("model", {})
    if width := next((k for k in WIDTHS if isinstance(model.get(k), int)), None):
        w = model[width]
        values = sorted({max(w // 2, 1), w, 3 * w // 2, 2 * w})
        axes.append(Axis.of(f"model.{width}", values))
    if depth := next((k for k in DEPTHS if isinstance(model.get(k), int)), None):
        n = model[depth]
        axes.append(Axis.of(f"model.{depth}", sorted({max(n - 1, 1), n, n + 1, n + 2})))
    return axes


def value_at(recipe: TrainingRecipe, key: str) -> Any:
    """The value of a dotted key in a resolved recipe; None if it has none."""
    entry: Any = recipe.to_dict()
    for part in key.split("."):
        entry = entry.get(part) if isinstance(entry, dict) else None
    return entry


def _number(text: str) -> float | int:
    text = text.strip()
    return int(text) if text.lstrip("+-").isdigit() else float(text)
