"""The interface of every domain: nodes, quadrature weights, field checks and serialisation."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..nearest import did_you_mean


@runtime_checkable
class Domain(Protocol):
    """The nodes on which the fields of a data set are defined. Metrics, losses and models use only
    this interface; `calculus.calculus_of(domain)` has transforms, Sobolev norms and bands.

    A field has the shape (b, c, *space), a trajectory (b, t, c, *space). Weights have a shape that
    broadcasts to fields: (*space), or (b, 1, n) for points that differ from sample to sample.

    Attributes:
        kind: the key in `DOMAINS`, and of `to_dict`.
    """

    kind: ClassVar[str]

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes of `shape` in files and messages."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The last axes of a field: nodes per axis; -1 where it differs from sample to sample."""
        ...

    @property
    def ndim(self) -> int:
        """Number of axes of `shape`."""
        ...

    @property
    def num_nodes(self) -> int:
        """Number of nodes; -1 where it differs from sample to sample."""
        ...

    @property
    def volume(self) -> Any:
        """Length, area or volume of the domain: a number, or a tensor (b,) if samples differ."""
        ...

    @property
    def region(self) -> dict[str, Any]:
        """The part of `to_dict` that does not depend on the resolution: no node counts or
        positions."""
        ...

    def nodes(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*d_space"]:
        """Coordinates of all nodes."""
        ...

    def quadrature(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*space"]:
        """Weights w with ∫u ≈ Σ w u."""
        ...

    def mean_weights(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "*space"]:
        """Weights a, Σ a = 1, of means over nodes: equal where the nodes are uniform."""
        ...

    def outermost(self) -> Bool[Tensor, "*space"] | None:
        """True at the nodes on the boundary or next to it; None if the boundary is not known."""
        ...

    def mask_padding(self, u: Tensor) -> Tensor:
        """u with zeros at padding nodes; u itself if there is no padding."""
        ...

    def at(self, batch: Any) -> "Domain":
        """The domain of the samples of a `Batch`: self, unless the batch has its own positions."""
        ...

    def check(self, u: Tensor, name: str = "field") -> None:
        """Raise a ValueError unless the last axes of u are those of the domain."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, `kind` among them; `domain_from_dict` reads them."""
        ...

    def __hash__(self) -> int:
        """Equal domains have equal hashes, so that caches can be keyed by the domain."""
        ...


def check_keys(
    plain: dict[str, Any], required: Sequence[str], optional: Sequence[str] = ()
) -> None:
    """Raise a ValueError unless a description of a domain has the required keys and no others."""
    valid = ("kind", *required, *optional)
    kind = plain.get("kind")
    for key in plain:
        if key not in valid:
            raise ValueError(
                f"Unknown key {key!r} in the description of a domain of kind {kind!r}."
                f"{did_you_mean(str(key), valid)} It has {', '.join(valid)}."
            )
    if missing := [key for key in required if key not in plain]:
        raise ValueError(
            f"The description of a domain of kind {kind!r} needs {', '.join(missing)}; got "
            f"{', '.join(map(str, plain))}."
        )


def check_kind(domain: Any, kinds: tuple[type, ...], who: str, advice: str = "") -> None:
    """Raise a ValueError unless the domain is of one of these kinds.

    Args:
        who: the name of the caller, for the message.
        advice: a remedy, for the message.
    """
    if not isinstance(domain, kinds):
        needed = " or ".join(f"{kind.__name__} ({kind.kind})" for kind in kinds)  # type: ignore[attr-defined]
        raise ValueError(
            f"{who} needs a domain of type {needed}; got {type(domain).__name__} ({domain}). "
            f"{advice}".rstrip()
        )
