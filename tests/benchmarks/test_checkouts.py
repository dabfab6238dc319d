"""Two checkouts by turns: who is called when, what the ratios are, and a worker that answers."""

from pathlib import Path

import pytest
import torch

from benchmarks import checkouts
from benchmarks.checkout_worker import WORKLOADS, accepted, first_of
from benchmarks.checkouts import Compared, Worker, compare, rows, run
from pdeops.batch import Batch
from pdeops.compare.tables import markdown_table

ROOT = Path(__file__).resolve().parents[2]


class Scripted:
    """A worker whose calls take 1, 2, 3, ... seconds, times a factor."""

    log: list[tuple[str, str]]

    def __init__(self, checkout, threads):
        self.name, self.calls = checkout.name, 0
        self.factor = {"old": 1.0, "new": 3.0}[self.name]
        self.log.append((self.name, f"start {threads}"))

    def ask(self, request):
        self.log.append((self.name, request))
        if not request.startswith("call"):
            return {}
        self.calls += 1
        return {"wall": self.factor * self.calls, "cpu": 2 * self.factor * self.calls}

    def close(self):
        self.log.append((self.name, "close"))


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(checkouts, "Worker", Scripted)
    monkeypatch.setattr(Scripted, "log", [], raising=False)
    return Scripted.log


PAIR = {"old": Path("old"), "new": Path("new")}


def test_both_sides_take_turns_after_a_warm_up(log):
    pair = {name: Scripted(path, 1) for name, path in PAIR.items()}
    found = compare(pair, "a b", rounds=3, warm_up=2)
    calls = [name for name, request in log if request == "call a b"]
    assert calls == ["old", "old", "new", "new", *3 * ["old", "new"]]
    assert found["wall"] == Compared([3.0, 4.0, 5.0], [9.0, 12.0, 15.0])
    assert found["cpu"].old == [6.0, 8.0, 10.0]
    assert log[-2:] == [("old", "drop a b"), ("new", "drop a b")]


def test_every_second_pair_of_processes_begins_with_the_new_checkout(log):
    found = run(PAIR, ["a"], rounds=1, processes=2, threads=7)
    started = [name for name, request in log if request == "start 7"]
    assert started == ["old", "new", "new", "old"]
    assert [name for name, request in log if request == "close"] == started
    timed = [name for name, request in log if request == "call a"]
    assert timed[6:8] == ["old", "new"]
    assert timed[14:16] == ["new", "old"]
    assert found["a"]["cpu"] == Compared([8.0, 8.0], [24.0, 24.0])


def test_ratios_are_new_over_old():
    seconds = Compared(old=[1.0, 2.0, 4.0], new=[3.0, 3.0, 3.0])
    assert seconds.ratio == 1.5
    assert (seconds.ratios.q1, seconds.ratios.median, seconds.ratios.q3) == (1.125, 1.5, 2.25)
    (row,) = rows({"a": {"cpu": seconds, "wall": Compared([1.0], [2.0])}})
    assert row == {
        "workload": "a",
        "old, ms": "2000.00 (1500.00 to 3000.00)",
        "new, ms": "3000.00 (3000.00 to 3000.00)",
        "new / old": "1.500",
        "per round": "1.500 (1.125 to 2.250)",
        "new / old, wall clock": "2.000",
        "calls": "3",
    }
    assert markdown_table(list(row), [list(row.values())]).count("\n") == 2


def test_a_name_is_found_where_it_is_now():
    assert first_of("pdeops.gone:Nothing", "pdeops.batch:Nothing", "pdeops.batch:Batch") is Batch
    with pytest.raises(ImportError, match=r"None of pdeops\.gone:Nothing exists"):
        first_of("pdeops.gone:Nothing")


def test_a_batch_has_the_form_that_the_learner_takes():
    x, y = torch.zeros(1), torch.ones(1)
    assert accepted(lambda batch: batch["x"], x, y) == {"x": x, "y": y}
    assert isinstance(accepted(lambda batch: batch.input, x, y), Batch)
    with pytest.raises(TypeError, match="no form of batch"):
        accepted(lambda batch: batch.nothing, x, y)


@pytest.fixture
def worker():
    made = Worker(ROOT, threads=1)
    yield made
    made.close()


def test_a_worker_answers_with_seconds(worker):
    name = "loading, one epoch"
    assert name in WORKLOADS
    assert worker.ask(f"setup {name}") == {}
    answer = worker.ask(f"call {name}")
    assert set(answer) == {"wall", "cpu"}
    assert 0 < answer["wall"] < 60
    assert worker.ask(f"drop {name}") == {}


@pytest.mark.slow
def test_a_workload_that_fails_says_why(worker):
    with pytest.raises(RuntimeError, match=r"'call nothing' failed in .*: KeyError: 'nothing'"):
        worker.ask("call nothing")
    with pytest.raises(RuntimeError, match="'drop nothing' failed"):
        worker.ask("drop nothing")


@pytest.mark.slow
def test_another_package_than_that_of_the_checkout_is_refused(tmp_path):
    worker = Worker(tmp_path, threads=1)
    with pytest.raises(
        RuntimeError, match=f"{tmp_path.name} ended at 'setup a' with exit status 1"
    ):
        worker.ask("setup a")
    worker.close()
