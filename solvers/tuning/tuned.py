"""A solver whose parameters are chosen for each problem, from what earlier choices cost."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .linucb import LinUCB
from .relax import Tuner, cost_of_failure
from .state import read_state, write_state
from .tsallis_inf import TsallisINF

log = logging.getLogger("pdeops")

MOST = 64  # arms; each has to be tried


@dataclass(frozen=True)
class Choice:
    """What was chosen for one problem, why, and what it cost.

    Attributes:
        values: name of each parameter -> its value.
        reason: why.
        cost: of the whole call.
        failure: why `solve` failed with these values; "" if it did not.
    """

    values: Mapping[str, Any]
    reason: str
    cost: float
    failure: str = ""

    @property
    def text(self) -> str:
        """The values in words."""
        return ", ".join(f"{name} {value}" for name, value in self.values.items())


@dataclass(frozen=True)
class _Attempt:
    result: Any = None
    cost: float = 0.0
    failure: str = ""
    error: Exception | None = None


class Tuned:
    """A solver that chooses its own parameters: x = tuned(A, b).

        tuned = Tuned(solve, {"theta": [0.0, 0.25], "cycle": ["V", "W"]}, cost=iterations)
        for A, b in systems:
            x = tuned(A, b)

    Each call chooses a value of each parameter and passes them to `solve` as keywords. It learns
    from costs alone. Without features `TsallisINF` learns the best fixed values; with features,
    numbers known before the solve, `LinUCB` learns which values suit which problem.

    An attempt fails if `solve` raises an exception, the result has `converged` False, or the cost
    is not finite. Then `fallback` is called; by default the other values are tried in the order in
    which they were given, so the first should be the safest. The choice has the cost of all
    attempts, and at least twice the largest cost without a failure so far; before the first success
    the values are taken in turn.

    Args:
        solve: called with the arguments of the call, and the chosen values as keywords.
        parameters: name -> values, of which all combinations are arms; or the arms, each a mapping
            of names to values.
        cost: result -> a number >= 0; by default the processor seconds of the solve.
        features: arguments of the call -> numbers, always as many; None for none.
        fallback: arguments of the call -> a result, where an attempt has failed.
        seed: of the random choices. A choice depends on the seed, the number of calls before, their
            costs and features.

    Attributes:
        choices: a `Choice` for each call of this object.

    Raises:
        ValueError: the values of a parameter are no sequence; there are no arms, more than 64, or
            two equal ones.
    """

    def __init__(
        self,
        solve: Callable[..., Any],
        parameters: Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]],
        *,
        cost: Callable[[Any], float] | None = None,
        features: Callable[..., Any] | None = None,
        fallback: Callable[..., Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.solve, self.cost, self.features = solve, cost, features
        self.fallback, self.seed = fallback, seed
        self.arms = _arms(parameters)
        self.choices: list[Choice] = []
        self.count, self.largest = 0, 0.0
        self._generator = torch.Generator()
        self._tuner: Tuner | None = None

    def __call__(self, *problem: Any) -> Any:
        """The result of `solve` for this problem.

        Raises:
            Exception: that of the first attempt, if `solve` raises one with all values.
            ValueError: a feature is not finite, or their number has changed.
        """
        context = None
        if self.features is not None:
            context = np.asarray(self.features(*problem), dtype="float64").ravel().tolist()
        tuner = self._tuner = self._tuner or self._new(0 if context is None else len(context))
        self._generator.manual_seed(_seed(self.seed, self.count))
        index = int(tuner.choose(context))
        reason = tuner.reason()
        comparable = not self.count or self.largest > 0
        if not comparable:
            index = self.count % len(self.arms)
            reason = "in turn, because no values have succeeded so far"
        first = self._attempt(index, problem)
        cost, last = first.cost, first
        if first.failure:
            log.warning("%s failed: %s", self.arms[index], first.failure)
            last, more = self._recover(index, problem)
            cost = cost_of_failure(cost + more, self.largest)
        else:
            self.largest = max(self.largest, cost)
        if comparable and (cost or not first.failure):
            tuner.observe(tuner.least_cost + cost)
        self.count += 1
        self.choices.append(Choice(self.arms[index], reason, cost, first.failure))
        if last.failure and first.error is not None:
            raise first.error
        return first.result if last.failure else last.result

    def _recover(self, failed: int, problem: Sequence[Any]) -> tuple[_Attempt, float]:
        """The first attempt that does not fail, else the last, and the cost of all."""
        if self.fallback is not None:
            return _Attempt(self.fallback(*problem)), 0.0
        cost, attempt = 0.0, _Attempt(failure="no other values")
        for other in range(len(self.arms)):
            if other != failed and attempt.failure:
                attempt = self._attempt(other, problem)
                cost += attempt.cost
        return attempt, cost

    def _attempt(self, index: int, problem: Sequence[Any]) -> _Attempt:
        begin = time.process_time()
        try:
            result = self.solve(*problem, **self.arms[index])
            seconds = time.process_time() - begin
            cost = seconds if self.cost is None else float(self.cost(result))
        except Exception as error:
            spent = time.process_time() - begin if self.cost is None else 0.0
            return _Attempt(None, spent, f"{type(error).__name__}: {error}", error)
        if not (math.isfinite(cost) and cost >= 0):
            return _Attempt(result, 0.0, f"its cost is {cost}")
        if not getattr(result, "converged", True):
            return _Attempt(result, cost, getattr(result, "reason", "") or "not converged")
        return _Attempt(result, cost)

    def save(self, path: Path | str) -> None:
        """Write what has been learnt as JSON; a `Tuned` with the same arguments continues from it
        with `load`, exactly."""
        learnt = None if self._tuner is None else self._tuner.state()
        write_state(path, {**self._identity(), "count": self.count, "largest": self.largest,
                           "num_features": self._num_features(), "learnt": learnt})  # fmt: skip

    def load(self, path: Path | str) -> "Tuned":
        """Continue from a file of `save`; returns this object.

        Raises:
            ValueError: the file is not a state, its arms, features or seed differ, or it holds
                numbers that are not finite.
        """
        state = read_state(path)
        for key, wanted in self._identity().items():
            if state.get(key) != wanted:
                raise ValueError(
                    f"{path} is the state of another tuner: {_difference(key, state, wanted)}. "
                    f"Name another file; one that does not exist is created."
                )
        try:
            count, largest = int(state["count"]), float(state["largest"])
            tuner = None
            if state["learnt"] is not None:
                tuner = self._new(int(state["num_features"]))
                tuner.restore(state["learnt"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is a damaged state of a tuner: {error!r}.") from None
        if count < 0 or not 0 <= largest < math.inf:
            raise ValueError(
                f"{path} is a damaged state of a tuner: count {count}, largest {largest:g}."
            )
        self.count, self.largest, self._tuner = count, largest, tuner
        return self

    def _new(self, num_features: int) -> Tuner:
        arms = range(len(self.arms))
        if self.features is None:
            return TsallisINF(arms, self._generator)
        return LinUCB(arms, self._generator, num_features=num_features)

    def _num_features(self) -> int:
        return self._tuner.num_features if isinstance(self._tuner, LinUCB) else 0

    def _identity(self) -> dict[str, Any]:
        return {
            "arms": [{name: _text(value) for name, value in arm.items()} for arm in self.arms],
            "contextual": self.features is not None,
            "cost": "seconds" if self.cost is None else _text(self.cost),
            "seed": self.seed,
        }


def _difference(key: str, state: Mapping[str, Any], wanted: Any) -> str:
    """In words; of many arms the first that differs."""
    found, name = state.get(key), key
    if isinstance(found, list) and isinstance(wanted, list):
        if len(found) != len(wanted):
            return f"it has {len(found)} {key}, here there are {len(wanted)}"
        i = next(
            i for i, (mine, other) in enumerate(zip(found, wanted, strict=True)) if mine != other
        )
        found, wanted, name = found[i], wanted[i], f"{key}[{i}]"
    return f"its {name} is {found!r}, here it is {wanted!r}"


def _arms(parameters: Any) -> list[dict[str, Any]]:
    if isinstance(parameters, Mapping):
        names = list(parameters)
        for name, values in parameters.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise ValueError(f"Give a list of values of {name}; got {values!r}.")
        found = [dict(zip(names, values, strict=True)) for values in product(*parameters.values())]
    else:
        found = [dict(arm) for arm in parameters]
    texts = [str(sorted((name, str(_text(v))) for name, v in arm.items())) for arm in found]
    if not 0 < len(found) <= MOST or len(set(texts)) < len(texts):
        raise ValueError(
            f"A tuner needs 1 to {MOST} different arms; got {len(found)}, {len(set(texts))} of "
            f"them different. Fewer are learnt sooner: 8 is a good number."
        )
    return found


def _text(value: Any) -> Any:
    """A value as it stands in a state: numbers and strings as they are, others by name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Sequence):
        return [_text(v) for v in value]
    if isinstance(value, Mapping):
        return {str(name): _text(v) for name, v in value.items()}
    return getattr(value, "__qualname__", None) or repr(value)


def _seed(seed: int, count: int) -> int:
    return int(np.random.SeedSequence((seed, count)).generate_state(1, np.uint64)[0] >> 1)
