"""Linear operators of first and second order on a line, and how a user's functions are checked."""
# Axes: n points, j features.

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .features import Features

_MOST_NODES = 20_000  # the matrices are dense
_SENSITIVE = 1e-3  # the largest relative change of u by perturbations that counts as converged

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


def check_order(*orders: int) -> None:
    """Raise a ValueError for a derivative that features do not have."""
    if any(order not in (0, 1, 2) for order in orders):
        raise ValueError(f"Derivatives are known for the orders 0, 1 and 2; got {orders}.")


def evaluate(name: str, term: Term, *points: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """A number, or a function of the arguments `points`, at each point.

    Raises:
        ValueError: the function returns another shape, no real numbers, or a value that is not
            finite.
    """
    first = points[0]
    found = term(*points) if callable(term) else term
    try:
        value = torch.as_tensor(found, dtype=None if isinstance(found, Tensor) else first.dtype)
    except (TypeError, RuntimeError, ValueError):
        value = None
    if value is None or value.is_complex():
        raise ValueError(
            f"The {name} must be a real number, or a function that returns a tensor of real "
            f"numbers; got {found!r}."
        )
    value = value.to(first.dtype)
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


def checked_points(axis: str, nodes: Float[Tensor, " n"], points: Any) -> Float[Tensor, " m"]:
    """Points in float64; those that the round-off of their dtype moved out are at the end.

    Raises:
        ValueError: they are no list of points of the interval of the nodes, beyond which the kernel
            extrapolates.
    """
    if not isinstance(points, Tensor) or points.ndim != 1:
        raise ValueError(
            f"{axis} must be a tensor of shape (n,); got {getattr(points, 'shape', points)}."
        )
    low, high = nodes[0].item(), nodes[-1].item()
    rounded = torch.finfo(points.dtype).eps if points.is_floating_point() else 0.0
    slack = rounded * max(abs(low), abs(high))
    points = points.double()
    if len(points) and not (low - slack <= points.min() and points.max() <= high + slack):
        raise ValueError(
            f"The solution is known for {axis} in [{low:g}, {high:g}]; got points in "
            f"[{points.min().item():g}, {points.max().item():g}]."
        )
    return points.clamp(low, high)


def relative_size(residual: Tensor, terms: Sequence[Tensor]) -> float:
    """|residual| relative to |Σ |term||, Euclidean norms; 0 where both are zero."""
    size = sum((term.abs() for term in terms), start=torch.zeros(())).norm().item()
    return residual.norm().item() / size if size else 0.0


def noise(*shape: int) -> Tensor:
    """The same random numbers of mean square 1 at each call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def sensitivity_of(u: Tensor, response: Tensor, residual: Tensor) -> float:
    """Relative change of u by a perturbation of f of the size of the residual, given the response
    of u to `noise`: the digits that the equation leaves undetermined near a singular one."""
    size = residual.square().mean().sqrt() * response.square().mean().sqrt()
    return relative_size(size, [u.square().mean().sqrt()])


def verdict(residual: float, sensitivity: float, rtol: float) -> tuple[bool, str]:
    """Whether a solution counts as converged, and why, in words."""
    if not residual <= rtol:
        return False, (
            f"the residual between the nodes is above {rtol:.0e}: take more nodes, or a kernel "
            f"with more or higher frequencies"
        )
    if not sensitivity <= _SENSITIVE:
        return False, (
            f"the problem is singular or nearly so (c near an eigenvalue): a change of f of the "
            f"size of the residual changes u by {sensitivity:.1e} of its size"
        )
    return True, f"the residual between the nodes is at most {rtol:.0e}"


def uniform_nodes(
    name: str, interval: tuple[float | int, float | int], highest: float, nodes: int | None
) -> Float[Tensor, " n"]:
    """Uniform nodes with both ends; by default twice as many as the highest frequency needs.

    Raises:
        ValueError: the interval is empty, its nodes alias the highest frequency, or there would be
            too many of them.
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
    count = usual if nodes is None else nodes
    if count > _MOST_NODES:
        raise ValueError(
            f"{count} nodes on [{low:g}, {high:g}] are more than {_MOST_NODES}; the highest "
            f"frequency of the kernel is {highest:.6g} cycles per unit of {name}. Lower it, take "
            f"longer lengths, or divide the interval."
        )
    return torch.linspace(low, high, count, dtype=torch.float64)
