"""torch files with a dict of tensors, memory-mapped if the format allows it."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .memory import MemoryStore
from .store import Key, Store

DESCRIPTION = "torch's .pt files (a dict of tensors, or a list of them)"


def recognises(path: Path, head: bytes) -> bool:
    """Whether this is a zip file with a pickle (torch 1.6 and later), or a bare pickle (older)."""
    if head.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith("data.pkl") for name in archive.namelist())
        except zipfile.BadZipFile:
            return True  # truncated; `open` says so
    return head.startswith(b"\x80\x02")


def store(path: Path) -> "TorchStore":
    """The tensors by name.

    Raises:
        ValueError: damaged, or not a dict with tensors.
    """
    return TorchStore(path)


class TorchStore(Store):
    """The tensors of a torch file as arrays."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.arrays, self.refused = self.handle.arrays, self.handle.refused

    def _open(self) -> MemoryStore:
        assert self.path is not None
        return MemoryStore(tensors(self.path))

    def in_memory(self, name: str) -> np.ndarray:
        """The tensor, memory-mapped if the format allows it."""
        return self.handle.in_memory(name)

    def read(self, name: str, key: Key) -> np.ndarray:
        """A view of the block."""
        return self.handle.read(name, key)


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of the dict that the file holds; "0/name", "1/name", ... for a list of dicts.

    Raises:
        ValueError: damaged, or no dict with tensors and no list of such dicts.
    """
    content = _load(path)
    found = content if isinstance(content, dict) else {}
    if isinstance(content, list | tuple):
        dicts = [(i, part) for i, part in enumerate(content) if isinstance(part, dict)]
        found = {f"{i}/{k}": u for i, part in dicts for k, u in part.items()}
    found = {str(k): u for k, u in found.items() if isinstance(u, Tensor)}
    if not found:
        keys = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{path} is a torch file of another kind: it holds {keys}, expected a dict with "
            f"tensors x and y."
        )
    return found


def _load(path: Path) -> Any:
    """The content of the file, memory-mapped if possible; code in the file is never run."""
    try:
        try:
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
        except pickle.UnpicklingError:
            raise ValueError(
                f"{path} holds Python objects besides tensors, which could run code when loaded. "
                f"Save it again as a dict of tensors x and y."
            ) from None
    except OSError as error:
        if error.errno is not None:  # the system refused to read the file: it is not damaged
            raise
        raise _damaged(path, error) from None
    except (RuntimeError, EOFError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ValueError(f"{path} is a damaged torch file ({reason}). Download or copy it again.")
