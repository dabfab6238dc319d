"""The axes of a search over hyperparameters: recipe keys and their values."""

import json
import math
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
                if not -math.inf < low < high < math.inf:
                    raise ValueError("the interval is empty or infinite")
                return cls(key, low, high)
            values = tomllib.loads(f"value = {given}")["value"]
            if not isinstance(values, list) or len(values) < 2:
                raise ValueError("that is no list of two values or more")
            return cls.of(key, values)
        except (ValueError, TypeError) as error:  # of tomllib, and of dates in JSON
            raise ValueError(
                f"An axis of the search is KEY=LOW..HIGH, as in optimizer.lr=1e-4..1e-2, or "
                f"KEY=[VALUE, VALUE], as in model.hidden_channels=[16, 24, 32]; got {text!r}: "
                f"{error}."
            ) from None

    @classmethod
    def of(cls, key: str, values: Sequence[Any]) -> "Axis":
        """The axis of a list of values."""
        return cls(key, choices=tuple(json.dumps(value) for value in values))

    @property
    def integers(self) -> bool:
        """Whether the values of the interval are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def logarithmic(self) -> bool:
        """Whether the interval is searched on the logarithmic scale."""
        return self.low > 0 and self.high >= DECADE * self.low

    @property
    def ends(self) -> tuple[str, ...]:
        """The ends of the interval, or all values of the list, as TOML."""
        return self.choices or (repr(self.low), repr(self.high))

    @property
    def distribution(self) -> Any:
        """The values as optuna's distribution; those of a list as TOML."""
        from optuna import distributions

        if self.choices:
            return distributions.CategoricalDistribution(self.choices)
        if self.integers:
            return distributions.IntDistribution(
                int(self.low), int(self.high), log=self.logarithmic
            )
        return distributions.FloatDistribution(self.low, self.high, log=self.logarithmic)

    def text(self, value: Any) -> str:
        """A value of the distribution as TOML."""
        return str(value) if self.choices else repr(value)

    def value(self, text: str) -> Any:
        """The inverse of `text`."""
        if self.choices:
            return text
        return int(text) if self.integers else float(text)

    def place_of(self, value: Any) -> Any:
        """A value of a recipe in the distribution; None if it does not lie on the axis."""
        if self.choices:
            text = json.dumps(value)
            return text if text in self.choices else None
        numbers = int if self.integers else int | float
        return value if isinstance(value, numbers) and self.low <= value <= self.high else None

    def __str__(self) -> str:
        if self.choices:
            return f"{self.key} = {', '.join(self.choices)}"
        return f"{self.key} = {self.low!r} .. {self.high!r}"


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
