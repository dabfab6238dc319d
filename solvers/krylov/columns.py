"""Arithmetic on one field, or on a batch of fields with one scalar per field.

Each Krylov method is written once, in the textbook's letters. Its scalars (α, β, ⟨r, z⟩) are Python
numbers for one system, which costs nothing, and tensors of one number per column for a batch, whose
columns are then updated in one launch.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ...kernels.conjugate import dot_columns

Scalars = Any  # a float (`OneColumn`), or a tensor of one number per column (`ManyColumns`)


class Columns(ABC):
    """Operations of a Krylov method on its fields and scalars."""

    @abstractmethod
    def dot(self, u: Tensor, v: Tensor) -> Scalars:
        """⟨u, v⟩"""

    @abstractmethod
    def add(self, y: Tensor, a: Scalars, x: Tensor) -> None:
        """y ← y + a x"""

    @abstractmethod
    def update(self, p: Tensor, a: Scalars, z: Tensor) -> None:
        """p ← z + a p"""

    @abstractmethod
    def scale(self, y: Tensor, a: Scalars) -> None:
        """y ← a y"""

    @abstractmethod
    def full(self, like: Tensor, value: float) -> Scalars:
        """The same number for every column."""

    @abstractmethod
    def ratio(self, a: Scalars, b: Scalars, valid: Scalars = True) -> Scalars:
        """a / b where valid and b is not zero, else 0."""

    @abstractmethod
    def sqrt(self, a: Scalars) -> Scalars:
        """√a; NaN where a < 0."""

    @abstractmethod
    def where(self, condition: Scalars, a: Any, b: Any) -> Any:
        """a where the condition holds for the column, else b; scalars or fields."""

    @abstractmethod
    def all(self, condition: Scalars) -> bool:
        """Whether the condition holds for every column."""

    @abstractmethod
    def numbers(self, a: Scalars) -> list:
        """One Python number (or bool) per column."""


class OneColumn(Columns):
    """Fields of shape (*space)."""

    def dot(self, u: Tensor, v: Tensor) -> float:
        return torch.dot(u.view(-1), v.view(-1)).item()

    def add(self, y: Tensor, a: float, x: Tensor) -> None:
        y.add_(x, alpha=a)

    def update(self, p: Tensor, a: float, z: Tensor) -> None:
        torch.add(z, p, alpha=a, out=p)

    def scale(self, y: Tensor, a: float) -> None:
        y.mul_(a)

    def full(self, like: Tensor, value: float) -> float:
        return value

    def ratio(self, a: float, b: float, valid: bool = True) -> float:
        return a / b if valid and b != 0 else 0.0

    def sqrt(self, a: float) -> float:
        return math.sqrt(a) if a >= 0 else math.nan

    def where(self, condition: bool, a: Any, b: Any) -> Any:
        return a if condition else b

    def all(self, condition: bool) -> bool:
        return condition

    def numbers(self, a: Scalars) -> list:
        return [a]


class ManyColumns(Columns):
    """Fields of shape (columns, *space)."""

    def dot(self, u: Tensor, v: Tensor) -> Tensor:
        return dot_columns(u, v)

    def add(self, y: Tensor, a: Tensor, x: Tensor) -> None:
        y.addcmul_(_over(a, y), x)

    def update(self, p: Tensor, a: Tensor, z: Tensor) -> None:
        torch.addcmul(z, _over(a, p), p, out=p)

    def scale(self, y: Tensor, a: Tensor) -> None:
        y.mul_(_over(a, y))

    def full(self, like: Tensor, value: float) -> Tensor:
        return like.new_full(like.shape[:1], value)

    def ratio(self, a: Tensor, b: Tensor, valid: Tensor | bool = True) -> Tensor:
        fine = (b != 0) & valid
        return torch.where(fine, a / torch.where(fine, b, 1), 0)

    def sqrt(self, a: Tensor) -> Tensor:
        return a.sqrt()

    def where(self, condition: Tensor, a: Any, b: Any) -> Tensor:
        if isinstance(a, Tensor) and a.ndim > 1:
            condition = _over(condition, a)
        return torch.where(condition, a, b)

    def all(self, condition: Tensor) -> bool:
        return bool(condition.all())

    def numbers(self, a: Tensor) -> list:
        return a.tolist()


def _over(a: Tensor, field: Tensor) -> Tensor:
    """One number per column, to be multiplied with fields."""
    return a[(slice(None), *(None,) * (field.ndim - 1))]
