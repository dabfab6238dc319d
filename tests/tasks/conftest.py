"""Data sets in memory in the place of files."""

import pytest
import torch


@pytest.fixture
def files(monkeypatch):
    """files["name"] = dataset: `open_dataset("name")` gives it to the tasks."""
    known = {}
    for module in ("data", "operators", "rollout", "supervised"):
        monkeypatch.setattr(f"pdeops.tasks.{module}.open_dataset", lambda name: known[str(name)])
    torch.set_num_threads(1)
    return known
