"""Linear operators of first and second order on a line, and how a user's functions are checked."""
# Axes: n points, j features.

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .features import Features

Term = Callable[..., Tensor | float] | float | int


class SecondOrder:
    """L u = a(x) u'' + b(x) u' + c(x) u; each coefficient is a number or a function of x (n,).

    Raises:
        ValueError: a and b are both zero.
    """

    def __init__(self, a: Term = 0.0, b: Term = 0.0, c: Term = 0.0) -> None:
        if not callable(a) and not callable(b) and a == 0 and b == 0:
            raise ValueError(
                "SecondOrder is a differential operator a u'' + b u' + c u; got a = b = 0. Give a "
                "number or a function of x for one of them."
            )
        self.a, self.b, self.c = a, b, c

    @property
    def order(self) -> int:
        """2, or 1 where a is the number 0: the number of end values of a problem."""
        return 2 if callable(self.a) or self.a != 0 else 1

    def rows(self, features: Features, x: Float[Tensor, " n"]) -> Float[Tensor, "n j"]:
        """L φ at points x."""
        return sum(self.terms(features, x), start=torch.zeros(()))

    def terms(self, features: Features, x: Float[Tensor, " n"]) -> list[Float[Tensor, "n j"]]:
        """c φ, b φ' and a φ'' at points x, without those whose coefficient is the number 0."""
        return [
            evaluate(f"coefficient {name}", term, x)[:, None] * features.at(x, order)
            for order, (name, term) in enumerate((("c", self.c), ("b", self.b), ("a", self.a)))
            if callable(term) or term != 0
        ]


def evaluate(name: str, term: Term, *points: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """A number, or a function of the arguments `points`, at each point.

    Raises:
        ValueError: the function returns another shape, or a value that is not finite.
    """
    first = points[0]
    value = torch.as_tensor(term(*points) if callable(term) else term, dtype=first.dtype)
    if value.ndim and value.shape != first.shape:
        raise ValueError(
            f"The {name} must be a number, or a function of tensors of shape {tuple(first.shape)} "
            f"that returns this shape; it returned {tuple(value.shape)}."
        )
    value = value.expand(first.shape)
    wrong = ~value.isfinite()
    if wrong.any():
        at = tuple(wrong.nonzero()[0].tolist())
        where = ", ".join(f"{p[at].item():.6g}" for p in points)
        raise ValueError(
            f"The {name} must be finite; got {value[at].item()} at the point ({where}). Check the "
            f"function that defines it."
        )
    return value


def relative_size(residual: Tensor, terms: Sequence[Tensor]) -> float:
    """|residual| relative to |Σ |term||, Euclidean norms; 0 where both are zero."""
    size = sum((term.abs() for term in terms), start=torch.zeros(())).norm().item()
    return residual.norm().item() / size if size else 0.0


def uniform_nodes(
    name: str, interval: tuple[float | int, float | int], highest: float, nodes: int | None
) -> Float[Tensor, " n"]:
    """Uniform nodes with both ends; by default twice as many as the highest frequency needs.

    Raises:
        ValueError: the interval is empty, or its nodes alias the highest frequency.
    """
    low, high = (float(end) for end in interval)
    extent = high - low
    if not 0 < extent < float("inf"):
        raise ValueError(
            f"The interval of {name} must be (low, high) with low < high; got {interval}."
        )
    usual = int(4 * highest * extent) + 24
    least = int(2 * highest * extent) + 2
    if nodes is not None and nodes < max(least, 4):
        raise ValueError(
            f"{nodes} nodes on [{low:g}, {high:g}] alias the highest frequency of the kernel, "
            f"{highest:.6g} cycles per unit of {name}: this takes at least {max(least, 4)} nodes, "
            f"and {usual} for an accurate solution. Raise nodes, or drop the frequency."
        )
    return torch.linspace(low, high, usual if nodes is None else nodes, dtype=torch.float64)
