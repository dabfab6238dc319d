"""The user's folder for what can be computed again: compiled loops, measured choices of tiles."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/pdeops or ~/.cache/pdeops; ~/Library/Caches/pdeops on macOS,
    %LOCALAPPDATA%/pdeops/Cache on Windows. It may not exist."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"), "pdeops/Cache")
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/pdeops"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pdeops")
