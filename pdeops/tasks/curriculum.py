"""Curriculum: a network is trained on easier equations first, and on its own equation last."""
# Axes: k stages, p numbers of a coefficient.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..nearest import did_you_mean
from ..nn.space_time_field import SpaceTimeField
from ..runs.recipe import Choice
from ..solvers.evolution.initial import check_initial
from ..training.optim import OPTIMIZERS
from .task import TrainingRecipe


@dataclass(frozen=True)
class CurriculumTable:
    """The recipe's table [curriculum]: values of one coefficient of the equation, in order.

    The epochs of a time window are divided equally among the values, and the weights are kept; the
    last value has the remainder (Krishnapriyan et al., 2021).

    Attributes:
        coefficient: an argument of the equation; None for no curriculum.
        values: its values, numbers or lists of numbers; the last is that of [equation].
    """

    coefficient: str | None = None
    values: Sequence[Any] = ()


class Curriculum:
    """The equations of the stages of a training, the equation that is solved last.

    A batch names its stage by the value of the coefficient, `Batch.parameters` (b, p).

    Attributes:
        equations: the equation of each stage.
        parameters: the coefficient of each stage (k, p).
    """

    def __init__(self, equations: Sequence[Any], parameters: Float[Tensor, "k p"]) -> None:
        self.equations, self.parameters = tuple(equations), parameters

    def __len__(self) -> int:
        return len(self.equations)

    def equation(self, parameters: Float[Tensor, " p"]) -> Any:
        """The equation with this value of the coefficient."""
        (stages,) = (
            (self.parameters == parameters.to(self.parameters)).all(1).nonzero(as_tuple=True)
        )
        return self.equations[int(stages[-1])]


def curriculum_of(
    recipe: TrainingRecipe,
    field: SpaceTimeField,
    table: CurriculumTable,
    equation: Choice,
    build: Callable[[Choice], Any],
) -> Curriculum | None:
    """The stages that a recipe describes; None without a curriculum.

    Args:
        field: the network, built for the equation itself.
        equation: name and arguments of the equation.
        build: makes an equation from its name and arguments.

    Raises:
        ValueError: the equation has no such coefficient; the values are none, not numbers of one
            length, or do not end with that of the equation; a value does not fit the initial field;
            the network, the optimizer or `training.patience` does not admit stages.
    """
    if table.coefficient is None:
        if table.values:
            raise ValueError(
                f"curriculum.values needs curriculum.coefficient, an argument of [equation]: "
                f"{', '.join(equation.arguments)}."
            )
        return None
    name = table.coefficient
    _check_values(name, table.values, equation)
    _check_training(recipe, field)
    equations = []
    for value in table.values[:-1]:
        easier = build(Choice(equation.name, {**equation.arguments, name: value}))
        check_initial(easier, field.u0, field.t_end)
        equations.append(easier)
    numbers = [_numbers(value) for value in table.values]
    parameters = torch.tensor(numbers, dtype=torch.float64)
    return Curriculum([*equations, field.equation], parameters)


def _check_values(name: str, values: Sequence[Any], equation: Choice) -> None:
    """Raise a ValueError unless the values are those of a coefficient of the equation."""
    known = equation.arguments
    if name not in known:
        raise ValueError(
            f"curriculum.coefficient must be an argument of {equation.name}; got {name!r}."
            f"{did_you_mean(name, known)} Choose from {', '.join(known) or 'none'}."
        )
    if not values:
        raise ValueError(
            f"curriculum.values is empty; list the values of {name}, the last {known[name]!r}."
        )
    lengths = {len(_numbers(value)) for value in values}
    if lengths & {0} or len(lengths) > 1:
        raise ValueError(
            f"curriculum.values must be numbers, or lists of equally many numbers; got "
            f"{list(values)}."
        )
    if _numbers(values[-1]) != _numbers(known[name]):
        raise ValueError(
            f"The last of curriculum.values must be equation.{name} = {known[name]!r}; got "
            f"{values[-1]!r}. Append it."
        )


def _check_training(recipe: TrainingRecipe, field: SpaceTimeField) -> None:
    """Raise a ValueError unless the network and the training admit stages."""
    if field.steps:
        raise ValueError(
            f"{type(field).__name__} steps in time from the initial field, so its weights cannot "
            f"continue another equation. Leave out [curriculum], or use PINN."
        )
    optimizer = OPTIMIZERS[recipe.optimizer.name]
    if optimizer.needs_closure and not optimizer.needs_jacobian:
        raise ValueError(
            f"{recipe.optimizer.name} keeps the curvature of former steps, which are those of "
            f"another equation. With [curriculum] use Adam, AdamW or GaussNewton."
        )
    if recipe.training.patience is not None:
        raise ValueError(
            f"training.patience = {recipe.training.patience} may end the training before the last "
            f"stage of the curriculum, whose residual alone is validated. Leave it out."
        )


def _numbers(value: Any) -> list[float]:
    """A number or a list of numbers as a list; empty if it is neither."""
    entries = list(value) if isinstance(value, list | tuple) else [value]
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in entries)
    return [float(v) for v in entries] if numeric else []
