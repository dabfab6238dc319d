"""`pdeops solve --tune`: the state between calls, and states that are none."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from pdeops.solvers import TunedMultigrid

from .test_bad_input import refused
from .test_solve import KEYS, finite_elements


def test_the_state_is_kept_between_calls(pdeops, write, tmp_path):
    A, state = finite_elements(6), tmp_path / "state.json"
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    files = write(A, b)
    reports = []
    for t in range(3):
        done = pdeops("solve", *files, "--tune", state, "--json", "--out", tmp_path / f"x{t}.npy")
        assert done.status == 0, done.stderr
        x = np.load(tmp_path / f"x{t}.npy")
        assert np.linalg.norm(b - A @ x) <= 1e-8 * np.linalg.norm(b)
        assert json.loads(state.read_text())["count"] == t + 1
        reports.append(done.json)
    assert set(reports[0]) == {*KEYS, "setting", "why", "cost"}
    assert reports[0]["why"] == "the first of 8, nothing has been learnt"
    assert reports[2]["why"].endswith("systems so far: 2")
    # As one object that solves all.
    tuned = TunedMultigrid()
    for report in reports:
        tuned(A, b)
        assert report["setting"] == tuned.choices[-1].text
        assert report["cost"] == pytest.approx(tuned.choices[-1].cost)
        assert report["setting"].split(",")[0] in report["method"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--tune", "new.json", "--method", "amg"), "Omit one of the two"),
        (("--tune", "nowhere/new.json"), "a folder that does not exist"),
        (("--tune", "A.npz"), "is not the state of a tuner"),
        (("--tune", "b.npy"), "is not the state of a tuner"),
    ],
)
def test_arguments_that_are_wrong(pdeops, write, tmp_path, monkeypatch, arguments, word):
    monkeypatch.chdir(tmp_path)
    files = write(sp.eye_array(3), np.ones(3))
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    refused(pdeops("solve", *files, *arguments, "--out", tmp_path / "x.npy"), word)
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before
