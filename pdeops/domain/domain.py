"""What every domain offers: nodes, quadrature weights, how a field is checked and how it is
stored."""

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Domain(Protocol):
    """Where the fields of a data set live. Metrics, losses and models ask the domain; transforms,
    norms and bands are those of `calculus.calculus_of(domain)`.

    Attributes:
        kind: the key in `DOMAINS`, and of `to_dict`.
        axes: names of the axes of `shape` in files and messages.
    """

    kind: ClassVar[str]

    @property
    def axes(self) -> tuple[str, ...]: ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The last axes of a field: nodes per axis."""
        ...

    @property
    def ndim(self) -> int:
        """Number of axes of `shape`."""
        ...

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        ...

    @property
    def volume(self) -> float:
        """Length, area or volume of the whole."""
        ...

    def nodes(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "d *space"]:
        """Coordinates of all nodes."""
        ...

    def quadrature(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*space"]:
        """Weights w with ∫u ≈ Σ w u."""
        ...

    def check(self, u: Tensor, name: str = "field") -> None:
        """Raise a ValueError unless the last axes of u are those of the domain."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, `kind` among them; `domain_from_dict` reads them."""
        ...
