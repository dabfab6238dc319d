"""Transforms, derivatives, quadrature and norms of fields on a domain.

`calculus_of(domain)` is the calculus of a domain; `fourier` (boxes) and `spherical` (spheres)
contain the functions that solvers use.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..domain import Grid, Sphere
from .box import BoxCalculus
from .calculus import Calculus
from .sphere import SphereCalculus

__all__ = ["CALCULI", "Calculus", "calculus_of", "has_calculus"]

# The calculus of each type of domain.
CALCULI: dict[type, Callable[[Any], Calculus]] = {Grid: BoxCalculus, Sphere: SphereCalculus}


def has_calculus(domain: Any) -> bool:
    """Whether the domain has a spectral transform, and therefore H^s norms and band errors."""
    return type(domain) in CALCULI


def calculus_of(domain: Any) -> Calculus:
    """The calculus of a domain, cached.

    Raises:
        ValueError: the domain has no spectral transform.
    """
    if not has_calculus(domain):
        have = " and ".join(kind.__name__ for kind in CALCULI)
        raise ValueError(
            f"There are no waves on {type(domain).__name__} ({domain}), so Sobolev norms and band "
            f"errors are not defined; {have} have them. Use Lp norms (loss RelativeL2, MSE or "
            f"PerChannel; metric relative_l2), or interpolate the fields to a Grid."
        )
    return _made(domain)


@lru_cache(maxsize=16)
def _made(domain: Any) -> Calculus:
    return CALCULI[type(domain)](domain)
