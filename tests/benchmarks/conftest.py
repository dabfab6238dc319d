"""The command line of pdeops in this process, for benches that call it in a process of its own."""

import contextlib
import io
import json
import sys

import pytest

from pdeops.cli import main


@pytest.fixture
def pdeops_here(monkeypatch):
    """Replaces `pdeops` in a module of benchmarks; returns the list of the verbs it is called with,
    "resume" for `train --resume`."""

    def install(module):
        called = []

        def here(*arguments, threads=None):
            called.append("resume" if "--resume" in arguments else arguments[0])
            monkeypatch.setattr(sys, "argv", ["pdeops", *map(str, arguments), "--json"])
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
                main()
            return json.loads(out.getvalue())

        monkeypatch.setattr(module, "pdeops", here)
        return called

    return install
