"""Layouts of files with points that differ from sample to sample."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from ..containers.store import AmbiguousError, Store
from ..dataset import FieldDataset
from ..point_source import PointSource
from .coordinates import GridLike


@dataclass(frozen=True)
class PointContent:
    """The fields of a file on points.

    Attributes:
        source: all fields.
        default: role -> names of the fields that are read unless the caller names others; None if
            the file does not define which fields are the targets.
        notes: what was inferred.
    """

    source: PointSource
    default: Mapping[str, Sequence[str]] | None
    notes: tuple[str, ...] = ()


@runtime_checkable
class PointFormat(Protocol):
    """A format of files on points: one module for each."""

    def recognises(self, store: Store) -> bool:
        """Whether these arrays have this format, from their names and shapes."""
        ...

    def content(self, store: Store) -> PointContent:
        """What the file holds.

        Raises:
            ValueError: the file contradicts its format.
        """
        ...


@dataclass(frozen=True)
class OnPoints:
    """The layout of a format on points."""

    format: PointFormat

    def recognises(self, store: Store) -> bool:
        """Whether these arrays have this format."""
        return self.format.recognises(store)

    def open(self, store: Store, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
        """The data set of the fields that the file defines."""
        return self.dataset(store, {}, grid, dtype)

    def dataset(
        self,
        store: Store,
        names: Mapping[str, Sequence[str]],
        grid: GridLike | None,
        dtype: torch.dtype,
        **others: Any,
    ) -> FieldDataset:
        """The data set of the named fields, role -> names, by default of those that the file
        defines.

        Raises:
            AmbiguousError: the file does not define the targets, and none are named.
            ValueError: there is no field of a name; a grid, axes or times are given.
        """
        given = [name for name, v in {"grid": grid, **others}.items() if v is not None]
        if given:
            raise ValueError(
                f"{store.title} holds points with coordinates of their own; got "
                f"{', '.join(given)}. Leave these out."
            )
        content = self.format.content(store)
        chosen = names or content.default
        if chosen is None:
            fields = [f.name for f in content.source.of_points]
            first = shlex.quote(fields[0]) if fields else "NAME"
            raise AmbiguousError(
                f"{store.title} holds {len(content.source)} sample(s) of points with the fields "
                f"{', '.join(fields) or '(none)'}, and does not define which are targets. Name "
                f"them; the coordinates are the input unless you name one: pdeops data convert "
                f"{shlex.quote(str(store.path))} own.h5 --target {first}"
            )
        source = content.source.with_roles(chosen)
        store.release()  # a process that only opens data has no file open when it forks
        return FieldDataset(
            source, source.domain, path=store.path, dtype=dtype, notes=content.notes
        )
