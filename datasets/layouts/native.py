"""Reader of the project's own files; `native_file` defines the format and writes it."""

import json
from typing import Any

import numpy as np
import torch

from ..containers.store import Store
from ..dataset import FieldDataset
from ..sample_numbers import numbers
from ..source import Source
from ..spec import DatasetSpec, Field
from .array_source import ArraySource
from .chosen import Chosen, Selection
from .coordinates import GridLike
from .native_file import FORMAT, FORMAT_VERSION
from .ragged_source import RaggedSource
from .variables import with_shared_points


def recognises(store: Store) -> bool:
    """Whether the attribute "format" is that of the project."""
    return store.attributes.get("format") == FORMAT


def open(store: Store, grid: GridLike | None, dtype: torch.dtype) -> FieldDataset:
    """The data set of a finished file.

    Raises:
        ValueError: the format version is unknown, the file is unfinished or inconsistent with its
            spec, or `grid` differs from the stored grid.
    """
    spec, path = spec_of(store), store.path
    assert path is not None
    if spec.ragged:
        _require_points(store)
    for field in spec.fields:
        expected = spec.shape(field)
        if -1 in expected:
            rows = int(np.sum(store.read("num_points", (slice(None),))))
            expected = tuple(rows if n < 0 else n for n in expected)
        got = store.arrays[field.name].shape if field.name in store.arrays else "nothing"
        if got != expected:
            raise ValueError(
                f"{path} disagrees with its own spec: field {field.name!r} should have shape "
                f"{expected}, and has {got}. Generate the file again."
            )
    if spec.times and "time" in store.arrays:
        stored = store.read("time", (slice(None),)).tolist()
        if stored != list(spec.times):
            raise ValueError(
                f"{path} disagrees with its own spec: its variable time is {stored}, the spec says "
                f"{list(spec.times)}. Generate the file again."
            )
    if path.name.endswith(".part"):
        raise ValueError(
            f"{path} is unfinished: run its `pdeops data generate` or `convert` again."
        )
    if grid is not None and grid != spec.domain:
        raise ValueError(f"{path} states its grid, {spec.domain}; got {grid}. Leave the grid out.")
    source = _source(store, spec)
    dataset = FieldDataset(source, spec.domain, spec=spec, path=path, dtype=dtype)
    unsolved = dataset.unsolved()
    store.release()  # a process that only opens data has no file open when it forks
    if unsolved:
        note = (
            f"the residual is NaN in {len(unsolved)} of {len(dataset.source)} samples, which were "
            f"not solved or not verified: {numbers(unsolved)}"
        )
        dataset.notes = (note,)
    return dataset


def _require_points(store: Store) -> None:
    """Raise a ValueError unless the file has the variables of points that samples do not share."""
    wanted = ["positions", "num_points", *(["num_cells"] if "cells" in store.arrays else [])]
    if missing := [name for name in wanted if name not in store.arrays]:
        raise ValueError(
            f"{store.title} states points that differ from sample to sample, and lacks the "
            f"variables of its points: {', '.join(missing)}. Write it again by write_points, or "
            f"generate or convert it again."
        )


def _source(store: Store, spec: DatasetSpec) -> Source:
    """The fields of the file."""
    if spec.ragged:
        return RaggedSource(store, spec, parameters(store))
    chosen = tuple(_chosen(spec, field) for field in spec.fields if field.has_space)
    selection = Selection(chosen, spec.times, parameters=parameters(store), equation=spec.equation)
    return ArraySource(store, selection)


def spec_of(store: Store) -> DatasetSpec:
    """The spec stored in the file.

    Raises:
        ValueError: the format version is unknown, or the spec is damaged.
    """
    version = store.attributes.get("format_version")
    if version not in (1, FORMAT_VERSION):
        found = repr(version) if isinstance(version, str) else version
        raise ValueError(
            f"{store.title} has format version {found}; this pdeops reads {FORMAT_VERSION}. "
            f"Generate or convert the file again, or use the pdeops that wrote it "
            f"({store.attributes.get('code_version')})."
        )
    try:
        plain = json.loads(store.attributes["spec"])
        if version == 1:
            plain = _from_version_1(plain)
        whole = lambda name: (slice(None),) * len(store.arrays[name].shape)  # noqa: E731
        plain = with_shared_points(plain, lambda name: np.array(store.read(name, whole(name))))
        return DatasetSpec.from_dict(plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{store.title} has no readable spec ({error!r}). Generate or convert the file again."
        ) from None
    except ValueError as error:
        raise ValueError(f"{store.title}: {error}") from None


def parameters(store: Store) -> dict[str, Any]:
    """The parameters in the file: the constants of its spec, and arrays (n,) with one number for
    each sample."""
    spec = spec_of(store)
    each = {f.name: np.array(store.read(f.name, (slice(None),))) for f in spec.per_sample}
    return {**spec.parameters, **each}


def _from_version_1(plain: dict[str, Any]) -> dict[str, Any]:
    """Convert the spec of a version 1 file to the current version.

    Steady fields are stored as in the current version. Version 1 split a trajectory into the
    initial field (an input) and the later frames (a target with times).

    Raises:
        ValueError: the file holds trajectories.
    """
    late = [f["name"] for f in plain["fields"] if f.get("times")]
    if late:
        raise ValueError(
            f"the file has format version 1, in which a trajectory ({', '.join(late)}) is stored "
            f"without its first frame; this pdeops reads trajectories of version {FORMAT_VERSION}. "
            f"Generate or convert the file again."
        )
    domain = plain.pop("grid", None) or plain.pop("domain")
    kind = "sphere" if "latitudes" in domain else "box"
    return plain | {"domain": {"kind": kind, **domain}}


def _chosen(spec: DatasetSpec, field: Field) -> Chosen:
    axes = tuple("channel" if d.endswith("channel") else d for d in spec.dims(field))
    return Chosen(field.name, field.role, axes, spec.shape(field), field.channels)
