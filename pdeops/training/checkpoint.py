"""Checkpoints: plain containers in one file, written atomically, readable without unpickling.

A file holds a dict that `torch.load(path, weights_only=True)` opens on any machine. `save` adds
the two keys that `load` checks, `format` and `format_version`.
"""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import distributed, shards

FORMAT = "pdeops checkpoint"
# 1: without a task. 2: `carry` names the task of the run, and the model with its arguments.
FORMAT_VERSION = 2

_SCALARS = (type(None), bool, int, float, str)
_TENSORS = (Tensor, nn.Parameter)


class CheckpointError(ValueError):
    """The file is not a checkpoint that this version can read."""


def save(path: Path | str, state: Mapping[str, Any]) -> None:
    """Write the state to path atomically: at any time, path is either the old file or the new one.

    The bytes are written to a temporary file in the same folder and flushed to disk; `os.replace`
    then renames the file. A process killed before that leaves the old file and a `.<name>.tmp`,
    which the next save overwrites.

    Raises:
        ValueError: the state holds something other than dicts, lists, tuples, tensors, numbers,
            strings and None.
        OSError: the disk is full or the folder cannot be written; the old file is intact.
    """
    path = Path(path)
    _require_plain(state, "state")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # torch's zip writer raises a RuntimeError after an OSError of the file.
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if isinstance(cause, OSError):
            raise OSError(
                cause.errno,
                f"Could not write the checkpoint ({cause.strerror}); an earlier one is untouched. "
                f"Free some space or choose another folder",
                str(path),
            ) from error
        raise
    _sync_folder(path.parent)


def save_together(path: Path, state: Mapping[str, Any]) -> None:
    """`save` for several processes, which all call it: the main process writes the file, and each
    its parts of divided tensors, to a folder that the file names; see `shards.py`.

    The file must be on storage that all processes share if there are divided tensors.
    """
    if not any(shards.divided(state)):
        if distributed.is_main():
            save(path, state)
            shards.remove_others(path)
        return
    used = distributed.from_main(_folder_of_shards(path) if distributed.is_main() else None)
    plain = shards.write(state, path, used)
    if distributed.is_main():
        save(path, plain)
        shards.remove_others(path, plain[shards.ENTRY]["folder"])


def _folder_of_shards(path: Path) -> str | None:
    """The folder that a checkpoint names, if there is one."""
    return load_file(path).get(shards.ENTRY, {}).get("folder") if path.is_file() else None


def load(path: Path | str, map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """The state that `save` or `save_together` wrote, with whole tensors on `map_location`.

    Raises:
        CheckpointError: path is missing, not a checkpoint, truncated, or of another format version.
    """
    return shards.read(load_file(path, map_location), Path(path).parent)


def load_file(path: Path | str, map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """`load` without the divided tensors."""
    path = Path(path)
    if not path.is_file():
        if path.name == "best.pt" and path.with_name("last.pt").is_file():
            raise CheckpointError(
                f"There is no checkpoint {path}: the training was interrupted before its first "
                f"validation. Continue it with `pdeops train --resume DIR`."
            )
        raise CheckpointError(
            f"There is no checkpoint {path}. Name a file such as checkpoints/best.pt."
        )
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise CheckpointError(
                f"{path} is not a checkpoint: expected a zip container as torch.save writes it. "
                f"Name the file checkpoints/best.pt or last.pt of a run."
            )
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path} is truncated: its zip directory is missing ({path.stat().st_size} bytes). "
            f"Copy it again, or use the run's other checkpoint."
        )
    try:
        state = torch.load(path, map_location=map_location, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint of pdeops: torch.load(weights_only=True) refuses it "
            f"({str(error).splitlines()[0]}). Use a file that pdeops wrote."
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a torch file but not a checkpoint of pdeops: it lacks the mark {FORMAT!r}. "
            f"Name the file checkpoints/best.pt or last.pt of a run."
        )
    version = state.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format version {version}; this pdeops reads "
            f"version {FORMAT_VERSION}. Load it with the pdeops that wrote it, or train again."
        )
    return state


def _require_plain(value: Any, where: str) -> None:
    """Raise a ValueError unless torch.load(weights_only=True) can load the value."""
    if type(value) in _SCALARS or type(value) in _TENSORS:
        return
    if type(value) in (dict, OrderedDict) or (where == "state" and isinstance(value, Mapping)):
        for key, item in value.items():
            if type(key) not in (str, int):
                raise ValueError(
                    f"Keys in a checkpoint are strings or integers; {where} has {key!r}."
                )
            _require_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            _require_plain(item, f"{where}[{index}]")
    else:
        raise ValueError(
            f"A checkpoint holds dicts, lists, tensors, numbers and strings; {where} is a "
            f"{type(value).__name__}. Store plain data, such as its to_dict()."
        )


def _sync_folder(folder: Path) -> None:
    """Flush the rename to disk, if the system can open folders."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
