"""Checkpoints of tensors that are divided among processes.

Such tensors (DTensors) are written by all processes to a folder of torch.distributed.checkpoint, in
the folder of the checkpoint file; the file names it and lists the entries. The folder is complete
before the file is replaced, and an earlier folder is deleted after that, so that at any time the
file names a complete folder. Any number of processes can read it, also one.
"""

import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from . import distributed

ENTRY = "shards"  # of the checkpoint file: the folder and the paths of the entries in it
Place = tuple[str | int, ...]  # the keys of an entry in nested dicts


def divided(state: Any, place: Place = ()) -> Iterator[tuple[Place, Tensor]]:
    """The divided tensors in nested dicts, with their paths."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            yield from divided(value, (*place, key))
    elif is_divided(state):
        yield place, state


def is_divided(value: Any) -> bool:
    """Whether the value is a tensor of which each process holds a part."""
    if not (dist.is_available() and dist.is_initialized()):
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)


def names(file: Path) -> tuple[str, str]:
    """The folders that a checkpoint file can name."""
    return f"{file.stem}-shards-1", f"{file.stem}-shards-2"


def write(state: Mapping[str, Any], file: Path, used: str | None) -> dict[str, Any]:
    """Write the divided tensors to a new folder of a checkpoint file; returns the rest of the
    state, with an entry that names the new folder. All processes call it.

    Args:
        used: the name of the folder that is kept, as the present checkpoint names it.
    """
    from torch.distributed import checkpoint

    folder = file.parent
    name = next(n for n in names(file) if n != used)
    if distributed.is_main():
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    distributed.gather(None)
    entries = dict(divided(state))
    with _without_warnings():
        checkpoint.save({_key(p): t for p, t in entries.items()}, checkpoint_id=folder / name)
    return {**_without(state), ENTRY: {"folder": name, "paths": [list(p) for p in entries]}}


def read(
    state: Mapping[str, Any], folder: Path, like: Callable[[Place], Tensor | None] | None = None
) -> dict[str, Any]:
    """The whole state, from the file of a checkpoint in `folder` and the tensors that it names.

    Args:
        like: path -> a divided tensor, as which the tensor at this path is read, if it has the
            same shape; None for a whole tensor. All processes then call it. Whole tensors of the
            file are divided too.

    Raises:
        ValueError: the folder is missing or incomplete.
    """
    if ENTRY not in state and like is None:
        return dict(state)
    from torch.distributed import checkpoint  # seconds: it imports torch._dynamo's tables

    whole: dict[str, Any] = _copied(state)
    entry = whole.pop(ENTRY, None)
    if like is not None:
        _divide(whole, like)
    if entry is None:
        return whole
    source = folder / entry["folder"]
    try:
        found = _metadata(source)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"The checkpoint is incomplete: {source} is missing or damaged ({error}). Copy the "
            f"whole folder checkpoints/ of the run."
        ) from None
    tensors = {}
    for path in map(tuple, entry["paths"]):
        metadata: Any = found[_key(path)]
        template = None if like is None else like(path)
        if template is None or template.shape != metadata.size:
            tensors[path] = torch.empty(metadata.size, dtype=metadata.properties.dtype)
        else:
            tensors[path] = torch.empty_like(template)
    with _without_warnings():
        checkpoint.load(
            {_key(p): t for p, t in tensors.items()}, checkpoint_id=source, no_dist=like is None
        )
    for path, tensor in tensors.items():
        inner: Any = whole
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = tensor
    return whole


def remove_others(file: Path, used: str | None = None) -> None:
    """Delete the folders of a checkpoint file that it does not name any more."""
    for name in names(file):
        if name != used:
            shutil.rmtree(file.parent / name, ignore_errors=True)


class _PlainUnpickler(pickle.Unpickler):
    """Refuses all but the plain data of which torch's metadata consist, in any version of torch;
    torch itself would call whatever a file names."""

    def find_class(self, module: str, name: str) -> Any:
        if not (name in _PLAIN.get(module, ()) or self._is_data(module, name)):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no plain data")
        return super().find_class(module, name)

    @staticmethod
    def _is_data(module: str, name: str) -> bool:
        """Whether it is a constant of torch, or a record or an enumeration of its metadata: which
        of these a file names depends on the version that wrote it."""
        if module == "torch":
            return isinstance(getattr(torch, name, None), _CONSTANTS)
        if module not in _RECORDS:
            return False
        found = getattr(import_module(module), name, None)
        if not isinstance(found, type) or found.__module__ != module:
            return False
        return is_dataclass(found) or issubclass(found, Enum)


_CONSTANTS = (torch.dtype, torch.layout, torch.memory_format)
_RECORDS = (
    "torch.distributed.checkpoint.metadata",
    "torch.distributed.checkpoint.filesystem",
    "torch.distributed._shard.sharded_tensor.metadata",
)
_PATHS = ("PosixPath", "WindowsPath")
_PLAIN: dict[str, tuple[str, ...]] = {
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "torch": ("Size",),
    "torch.serialization": ("_get_layout",),
}


def _metadata(source: Path) -> dict[str, Any]:
    """The shapes and types of the tensors in a folder.

    Raises:
        OSError, EOFError, UnpicklingError: a file is missing or damaged.
    """
    with open(source / ".metadata", "rb") as file:
        metadata = _PlainUnpickler(file).load()
    for name in {info.relative_path for info in metadata.storage_data.values()}:
        if not (source / name).is_file():
            raise FileNotFoundError(f"there is no {name}")
    found: dict[str, Any] = metadata.state_dict_metadata
    return found


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Ignores what torch's checkpoints warn of: functions that they call themselves, and a single
    process, which is intended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _key(path: Place) -> str:
    return "/".join(map(str, path))


def _without(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """The state without its divided tensors."""
    return {
        key: _without(value) if isinstance(value, Mapping) else value
        for key, value in state.items()
        if not is_divided(value)
    }


def _copied(state: Any) -> Any:
    """A copy of nested dicts, with the same values."""
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    return state


def _divide(state: Any, like: Callable[[Place], Tensor | None], path: Place = ()) -> None:
    """Replace whole tensors by divided ones."""
    from torch.distributed.tensor import distribute_tensor

    for key, value in state.items():
        if isinstance(value, Mapping):
            _divide(value, like, (*path, key))
        elif isinstance(value, Tensor):
            template: Any = like((*path, key))
            if template is not None and template.shape == value.shape:
                value = value.to(template.device)
                state[key] = distribute_tensor(value, template.device_mesh, template.placements)
