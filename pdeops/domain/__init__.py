"""Domains of fields: uniform grids of a box, grids of a sphere, and scattered points."""

from typing import Any

from ..nearest import did_you_mean
from .domain import Domain, check_kind
from .fields import check_alike, fold_time
from .grid import Boundary, Grid, Placement, Series
from .points import Points
from .sphere import Latitudes, Sphere

__all__ = [
    "DOMAINS",
    "Boundary",
    "Domain",
    "Grid",
    "Latitudes",
    "Placement",
    "Points",
    "Series",
    "Sphere",
    "check_alike",
    "check_kind",
    "domain_from_dict",
    "fold_time",
]

DOMAINS: dict[str, Any] = {domain.kind: domain for domain in (Grid, Sphere, Points)}


def domain_from_dict(plain: dict[str, Any]) -> Any:
    """The domain that `to_dict` described.

    Raises:
        ValueError: the kind is unknown.
    """
    kind = plain.get("kind")
    if kind not in DOMAINS:
        raise ValueError(
            f"A domain has a kind, one of {', '.join(DOMAINS)}; got {kind!r}."
            f"{did_you_mean(str(kind), DOMAINS)}"
        )
    return DOMAINS[kind].from_dict(plain)
