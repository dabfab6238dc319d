"""The machine is described without the names of a host, a user or a folder."""

import getpass
import json
import os
import platform
from pathlib import Path

import torch

from pdeops.compare.machine import PACKAGES, describe_machine, usable_cores
from pdeops.runs.folder import FORMAT_VERSION, open_folder
from pdeops.tasks import load_recipe


def test_entries_are_those_of_this_process(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mmap_max=7")
    found = describe_machine()
    assert set(found) == {
        *("cpu", "cores", "threads", "accelerator", "system", "python", "allocator"),
        *PACKAGES,
    }
    assert found["torch"] == torch.__version__
    assert found["python"] == platform.python_version()
    assert found["allocator"] == "glibc.malloc.mmap_max=7"
    assert found["threads"] == str(torch.get_num_threads())
    monkeypatch.delenv("GLIBC_TUNABLES")
    assert describe_machine()["allocator"] == "default"


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 64


def test_a_package_that_is_absent_is_named_so(monkeypatch):
    monkeypatch.setattr("pdeops.compare.machine.PACKAGES", ("no-such-package",))
    assert describe_machine()["no-such-package"] == "not installed"


def test_nothing_personal_is_described():
    text = json.dumps(describe_machine())
    for personal in (platform.node(), str(Path.home()), f"/{getpass.getuser()}/"):
        assert not personal or personal not in text


def test_a_run_folder_has_the_same_description(tmp_path):
    recipe = load_recipe("fno_quickstart")
    open_folder(tmp_path, recipe, torch.device("cpu"))
    written = json.loads((tmp_path / "environment.json").read_text(encoding="utf-8"))
    assert written == {
        "format_version": FORMAT_VERSION,
        "folder": str(tmp_path),
        **describe_machine(),
        "device": "cpu",
    }
