"""The content of a file of a public format, and the data set of all or some of its fields."""
# Axes: b batch, t time, c channel, *space nodes, n samples.

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from ..containers.store import AmbiguousError, Store
from ..dataset import FieldDataset
from .chosen import Chosen, Selection
from .coordinates import GridLike
from .named_arrays import dataset_of
from .selection import agree
from .times import Times, times_of

Names = Mapping[str, Sequence[str]]  # role -> names of arrays


@dataclass(frozen=True)
class Content:
    """The fields of a file of a public format, and its times, nodes and parameters.

    Attributes:
        store: the arrays of the file, and virtual ones.
        fields: all fields, with the roles that they have unless the caller gives others.
        unopened: names of the fields that are read only if the caller names them.
        grid: the domain, or the arguments of a Grid that are the same in all files of the format or
            stated in this one; coordinates are read from the file.
        questions: argument that neither the format nor this file determines (extent, boundary,
            placement, times) -> the choices, as text.
        times: times of the frames; None if they are read from the file.
        parameters: of the equation: constants, or arrays (n,) with one number for each sample.
        equation: the equation of the fields, as text.
        notes: what was inferred.
        read: as in `Selection`.
    """

    store: Store
    fields: tuple[Chosen, ...]
    unopened: frozenset[str] = frozenset()
    grid: GridLike = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)
    times: tuple[float, ...] | None = None
    parameters: Mapping[str, float | np.ndarray] = field(default_factory=dict)
    equation: str = ""
    notes: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    def holds(self, names: Names) -> bool:
        """Whether all these names are those of its fields."""
        return all(self._named(name) for given in names.values() for name in given)

    def dataset(
        self,
        grid: GridLike | None,
        dtype: torch.dtype,
        names: Names | None = None,
        times: Times | None = None,
    ) -> FieldDataset:
        """The data set of the named fields, by default of all but the unopened ones.

        Raises:
            AmbiguousError: the grid needs an argument that neither the file nor the caller gives.
            ValueError: the fields, their times or their coordinates are inconsistent.
        """
        given = self._grid(grid, times)
        chosen = self._chosen(names)
        agree(chosen)
        for c in chosen:
            self.store.check(c.name)
        notes = list(self.notes)
        found = times_of(self.store, chosen, notes, self.times if times is None else times)
        selection = Selection(
            chosen,
            found,
            tuple(notes),
            parameters=self.parameters,
            equation=self.equation,
            read=self.read,
        )
        dataset = dataset_of(self.store, selection, given, dtype)
        self.store.release()  # a process that only opens data has no file open when it forks
        return dataset

    def _grid(self, given: GridLike | None, times: Times | None) -> GridLike:
        """The domain, or the arguments of a grid: the caller's before those of the file."""
        arguments: dict[str, Any] = {}
        domain = next((g for g in (given, self.grid) if g and not isinstance(g, Mapping)), None)
        if domain is None:
            arguments = {**dict(self.grid), **dict(given or {})}  # type: ignore[arg-type]
            stated = dict(given or {})  # type: ignore[arg-type]
            if "boundary" in stated and "placement" not in stated:
                # The left ends are the nodes of a period; centres are so for any boundary.
                arguments = {k: v for k, v in arguments.items() if (k, v) != ("placement", "left")}
        known = {*arguments, *(() if times is None else ("times",))}
        if domain is not None:
            known |= {"extent", "boundary", "placement"}
        missing = [name for name in self.questions if name not in known]
        if missing:
            choices = "; ".join(f"{name}: {self.questions[name]}" for name in missing)
            raise AmbiguousError(
                f"{self.store.title} does not state its {' and '.join(missing)} ({choices}). Give "
                f"what is missing when you convert it: pdeops data convert "
                f"{shlex.quote(str(self.store.path))} own.h5 "
                f"{' '.join(f'--{name} ...' for name in missing)}"
            )
        return arguments if domain is None else domain

    def _chosen(self, names: Names | None) -> tuple[Chosen, ...]:
        if names is None:
            return tuple(c for c in self.fields if c.field not in self.unopened)
        chosen = []
        for role, given in names.items():
            for name in given:
                c = self._named(name)
                assert c is not None  # `holds` was checked
                chosen.append(replace(c, role=role))
        return tuple(chosen)

    def _named(self, name: str) -> Chosen | None:
        return next((c for c in self.fields if name in (c.name, c.field)), None)


@runtime_checkable
class Format(Protocol):
    """A public format: one module for each."""

    def recognises(self, store: Store) -> bool:
        """Whether these arrays have this format, from their names and shapes."""
        ...

    def content(self, store: Store) -> Content:
        """What the file holds.

        Raises:
            ValueError: the file contradicts its format.
        """
        ...


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The attributes that are one real number each."""
    found = {}
    for name, value in values.items():
        u = np.asarray(value)
        if u.size == 1 and u.dtype.kind in "iuf":
            found[name] = float(u.ravel()[0])
    return found


def text(value: Any) -> str:
    """An attribute as text."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def texts(value: Any) -> list[str]:
    """An attribute as a list of texts; one text is a list of one."""
    return [text(v) for v in np.ravel(np.asarray(value, dtype=object))]


def settings(yaml: str) -> dict[str, float]:
    """The entries `name: number` of a text in YAML, at any depth, by name; the first of each name.

    Other entries are left out: pdeops reads numbers of an equation only, which needs no parser of
    YAML.
    """
    found: dict[str, float] = {}
    for line in yaml.splitlines():
        name, colon, value = line.partition("#")[0].strip().partition(":")
        try:
            number = float(value)
        except ValueError:
            continue
        if colon:
            found.setdefault(name.strip().strip("'\""), number)
    return found
