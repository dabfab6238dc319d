"""The bench of searches: every model has the same search, and an interrupt ends the bench."""

from pathlib import Path

import pytest

from benchmarks import search as bench
from pdeops.tasks.search import SearchReport


@pytest.mark.parametrize("stopped", [None, bench.RECIPES[0]])
def test_every_model_has_the_same_search(monkeypatch, tmp_path, stopped):
    calls = {}

    def search(recipe, **given):
        calls[recipe] = given
        rows = [{"trial": str(i), "error": "0.1", "failed": ""} for i in range(given["trials"])]
        return SearchReport(Path(given["out"]), rows, None, interrupted=recipe == stopped)

    monkeypatch.setattr(bench, "search", search)
    found = bench.searches(["data.samples=8"], tmp_path, trials=3, seconds=2.5)
    assert tuple(calls) == bench.RECIPES[: 1 if stopped else None]
    assert len({given.pop("out") for given in calls.values()}) == len(calls)
    plans = [{k: v for k, v in given.items() if k != "progress"} for given in calls.values()]
    plan = {"trials": 3, "seconds": 2.5, "overrides": ["data.samples=8"], "device": "cpu"}
    assert plans == [plan] * len(calls)
    lines = bench.lines(found, 2.5)
    assert [line["recipe"] for line in lines] == [name for name in calls for _ in range(3)]
    assert {line["seconds_planned"] for line in lines} == {"2.5"}
