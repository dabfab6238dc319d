"""Registration of operations with torch, so that torch.compile and torch.export keep each of them
as one node of the graph."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch

from ..forms import is_interpreted

Implementation = Callable[..., Any]


def register(
    operations: Mapping[str, tuple[Implementation, Implementation]],
) -> torch.library.Library:
    """torch.ops.pdeops.NAME for each schema "NAME(arguments) -> results" of forms in Triton, for
    fields on GPUs, and on the CPU in Triton's interpreter. It lasts as long as the object that is
    returned.

    Args:
        operations: schema -> what runs, and what makes empty results of the right shapes.
    """
    library = torch.library.Library("pdeops", "FRAGMENT")
    for schema, (run, shapes) in operations.items():
        name = library.define(schema)
        for device in ("CUDA", "CPU") if is_interpreted() else ("CUDA",):
            library.impl(name, run, device)
        torch.library.register_fake(f"pdeops::{name}", shapes, lib=library)
    return library


def at_call(package: str, name: str) -> Implementation:
    """The function "module.name" of a package, whose module is imported at each call, because
    importing Triton takes a second and it may be missing."""
    module, _, function = name.partition(".")

    def run(*arguments: object) -> Any:
        return getattr(import_module(f"{package}.{module}"), function)(*arguments)

    return run


def nothing(*arguments: object) -> None:
    """The result of an operation that writes to its arguments."""
