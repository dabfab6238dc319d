"""The cost of the search that found the settings of a run, kept in the run's folder."""

import json
from pathlib import Path
from typing import Any

_FILE = "search.json"


def write_search_cost(folder: Path, *, trials: int, seconds: float) -> None:
    """State that `trials` trainings, this run's included, chose the settings of the run, and the
    seconds of the others."""
    text = json.dumps({"trials": trials, "seconds_of_the_others": round(seconds, 3)}) + "\n"
    (folder / _FILE).write_text(text, encoding="utf-8")


def forget_search_cost(folder: Path) -> None:
    """Remove the statement: another trial is better now."""
    (folder / _FILE).unlink(missing_ok=True)


def search_seconds(folder: Path) -> float:
    """Seconds of the other trials of the search that found the settings of a run; 0 without one."""
    file = folder / _FILE
    if not file.is_file():
        return 0.0
    stated: Any = json.loads(file.read_text(encoding="utf-8"))
    return float(stated["seconds_of_the_others"])
