"""Data sets in memory in the place of files."""

from pathlib import Path

import pytest
import torch


@pytest.fixture
def files(monkeypatch):
    """files["name"] = dataset: `open_dataset("name")` gives it to the tasks, in any folder, since
    the recipe of a run has absolute paths."""
    known = {}

    def opened(path):
        return known[Path(path).name]

    for module in ("data", "operators", "rollout", "supervised"):
        monkeypatch.setattr(f"pdeops.tasks.{module}.open_dataset", opened)
    torch.set_num_threads(1)
    return known
