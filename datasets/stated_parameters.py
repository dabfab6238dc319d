"""Parameters of an equation that the caller of a conversion states."""

from collections.abc import Mapping
from typing import Any

import numpy as np

NON_NEGATIVE = ("viscosity", "drag")


def with_stated(
    known: Mapping[str, Any], given: Mapping[str, Any], num_samples: int
) -> dict[str, Any]:
    """The parameters of the source and those that the caller gives: a number for all samples,
    or an array (n,) with one number for each sample of the source.

    Raises:
        ValueError: one is not finite, has another shape, is negative where the equation would grow
            without bound, or differs from what the file states.
    """
    parameters: dict[str, Any] = dict(known)
    for name, value in given.items():
        values = _checked(name, value, num_samples)
        stated = parameters.get(name, values)
        if not np.all(np.asarray(stated) == values):
            raise ValueError(
                f"The file states the parameter {name} = {stated}; got {value}. Leave it out."
            )
        parameters[name] = stated if np.ndim(stated) > np.ndim(values) else values
    return parameters


def _checked(name: str, value: Any, num_samples: int) -> float | int | np.ndarray:
    try:
        values = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        values = np.empty(0, dtype=object)
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"Parameter {name} must be a number, or one number for each sample; got {value!r}."
        )
    if values.shape not in ((), (num_samples,)):
        raise ValueError(
            f"Parameter {name} must be a number, or an array ({num_samples},) with one number for "
            f"each sample of the source, those left out included; got shape {values.shape}."
        )
    wrong = values[~np.isfinite(values)]
    if wrong.size:
        raise ValueError(f"Parameter {name} must be a finite number; got {wrong[0]}.")
    if name in NON_NEGATIVE and (values < 0).any():
        raise ValueError(
            f"Parameter {name} must be at least 0, since the equation has no stable solution for a "
            f"negative one; got {values.min()}."
        )
    return values.astype(np.float64) if values.ndim else values.item()
