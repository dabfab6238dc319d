"""What a tuner has learnt, as a JSON file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT, VERSION = "pdeops tuner", 1


def write_state(path: Path | str, state: Mapping[str, Any]) -> None:
    """Write the state to a file, which at any time is the old one or the new one.

    Raises:
        ValueError: the state holds NaN or infinity.
        OSError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    text = json.dumps({"format": FORMAT, "version": VERSION, **state}, indent=1, allow_nan=False)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(draft, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_state(path: Path | str) -> dict[str, Any]:
    """The state in a file.

    Raises:
        ValueError: the file is missing, or holds no state that this version can read; NaN and
            infinity are refused.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # not text, not JSON
        raise ValueError(
            f"{path} is not the state of a tuner: {error}. Name another file; one that does not "
            f"exist is created."
        ) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not the state of a tuner: its format is not {FORMAT!r}. Name another file; "
            f"one that does not exist is created."
        )
    if found.get("version") != VERSION:
        raise ValueError(
            f"{path} is a state of version {found.get('version')!r}; this pdeops reads version "
            f"{VERSION}. Begin a new file, or use the pdeops that wrote it."
        )
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"it holds {name}")
