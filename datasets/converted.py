"""The spec of a converted data set."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..domain import Domain
from .spec import PARAMETER, DatasetSpec, Field


def converted_spec(
    origin: str,
    fields: Iterable[Field],
    names: Mapping[str, Sequence[str]],
    domain: Domain,
    num_samples: int,
    *,
    parameters: Mapping[str, Any],
    equation: str = "",
    times: tuple[float, ...] = (),
    time_units: str = "1",
    changes: str = "",
) -> DatasetSpec:
    """The spec of fields from another file.

    Args:
        origin: name of the file, or text.
        names: role -> names of the channels.
        parameters: constants, or arrays with one number for each sample, which become fields.
        changes: what was changed, as text behind the origin.
    """
    constant: dict[str, Any] = {}
    each: list[Field] = []
    for name, p in parameters.items():
        if isinstance(p, np.ndarray):
            text = f"parameter {name} of the equation of each sample"
            each.append(Field(name, PARAMETER, text, "unknown"))
        else:
            constant[name] = p
    before = ", ".join(n for role in ("state", "input") for n in names.get(role, ()))
    after = ", ".join(names.get("state", names.get("target", ())))
    return DatasetSpec(
        name="converted",
        kind=f"{before} -> {after}",
        equation=equation or f"not stated in {origin}",
        fields=(*fields, *each),
        domain=domain,
        parameters=constant,
        seed=None,
        num_samples=num_samples,
        tolerance=math.inf,
        isometric=None,
        source=f"converted from {origin}{changes}",
        licence=f"that of {origin}",
        time_units=time_units,
        times=times,
    )
