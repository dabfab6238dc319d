"""Where fields live: uniform grids of a box, grids of a sphere, and scattered points."""

from typing import Any

from ..nearest import did_you_mean
from .domain import Domain
from .grid import Boundary, Grid, Placement, Series
from .sphere import Latitudes, Sphere

__all__ = [
    "DOMAINS",
    "Boundary",
    "Domain",
    "Grid",
    "Latitudes",
    "Placement",
    "Series",
    "Sphere",
    "domain_from_dict",
]

DOMAINS: dict[str, Any] = {domain.kind: domain for domain in (Grid, Sphere)}


def domain_from_dict(plain: dict[str, Any]) -> Any:
    """The domain that `to_dict` described.

    Raises:
        ValueError: it is of no known kind.
    """
    kind = plain.get("kind")
    if kind not in DOMAINS:
        raise ValueError(
            f"A domain has a kind, one of {', '.join(DOMAINS)}; got {kind!r}."
            f"{did_you_mean(str(kind), DOMAINS)}"
        )
    return DOMAINS[kind].from_dict(plain)
