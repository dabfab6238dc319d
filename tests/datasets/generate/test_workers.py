"""Workers of a cluster: the same file by two processes of which one is killed; what is refused."""

import os
import signal
import sys

import pytest

from pdeops.datasets import Darcy, generate
from pdeops.datasets.generate.workers import cluster
from pdeops.domain import Grid

GRID = Grid((33, 33))
MAKE = {"num_samples": 60, "seed": 3}


@pytest.fixture(scope="module")
def client():
    """A cluster of two processes on this machine."""
    import cloudpickle
    import distributed

    # The problems below travel as they are: workers cannot import a test file.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The bytes of the file that one process writes."""
    out = tmp_path_factory.mktemp("alone") / "alone.h5"
    generate(Darcy(), GRID, out=out, **MAKE)
    return out.read_bytes()


@pytest.mark.slow
def test_a_cluster_finishes_what_one_process_began(client, alone, tmp_path, monkeypatch):
    def interrupt(done):
        if done >= 20:
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)  # the workers stand in another folder
    with pytest.raises(KeyboardInterrupt):
        generate(Darcy(), GRID, out="a.h5", progress=interrupt, **MAKE)
    assert generate(Darcy(), GRID, out="a.h5", workers=client, **MAKE)["resumed"] >= 20
    assert (tmp_path / "a.h5").read_bytes() == alone


@pytest.mark.slow
def test_cancelled_futures_leave_what_is_finished(client, tmp_path):
    """As when the scheduler is restarted."""
    from distributed import Future

    def cancel(done):
        if done >= 8:
            client.cancel([Future(key, client) for key in client.futures])

    with pytest.raises(ChildProcessError, match=r"cluster is gone.*Finished samples are kept"):
        generate(Darcy(), GRID, out=tmp_path / "a.h5", workers=client, progress=cancel, **MAKE)
    assert os.listdir(tmp_path) == ["a.h5.part"]


def replace(name, value):
    """On a worker: the code of another version, or a folder that is not shared."""
    from pdeops.datasets import generate as _  # noqa: F401 - the function hides its module
    from pdeops.datasets.layouts import native_file

    module = {
        "_code_version": native_file,
        "differences": sys.modules["pdeops.datasets.generate.generate"],
    }[name]
    before = getattr(module, name)
    setattr(module, name, value)
    return before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("_code_version", lambda: "pdeops 9", "code_version: pdeops 9 here.*Install the same"),
        ("differences", lambda *_: None, "does not see .*a.h5.part.*all workers share"),
    ],
)
def test_other_code_and_other_folders_are_refused(client, tmp_path, name, value, message):
    before = client.run(replace, name, value)
    try:
        with pytest.raises(ValueError, match=message):
            generate(Darcy(), GRID, out=tmp_path / "a.h5", workers=client, **MAKE)
    finally:
        client.run(replace, name, next(iter(before.values())))
    assert os.listdir(tmp_path) == ["a.h5.part"]


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_nothing(client, alone, tmp_path):
    pids = set(client.run(os.getpid).values())
    assert len(pids) == 2
    victim, killed_at = pids.pop(), []

    def kill(done):
        if done >= 8 and not killed_at:
            os.kill(victim, signal.SIGKILL)
            killed_at.append(done)

    out = tmp_path / "a.h5"
    report = generate(Darcy(), GRID, out=out, workers=client, progress=kill, **MAKE)
    assert 8 <= killed_at[0] < 60
    assert victim not in client.run(os.getpid).values()
    assert (report["samples"], report["resumed"]) == (60, 0)
    assert out.read_bytes() == alone
    assert os.listdir(tmp_path) == ["a.h5"]


class Deadly(Darcy):
    """A problem whose samples kill their worker, as one that wants too much memory does."""

    def solve(self, x, grid, rtol=1e-10):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_sample_that_kills_its_workers_is_not_tried_for_ever(client, tmp_path):
    scheduler = client.cluster.scheduler
    allowed, scheduler.allowed_failures = scheduler.allowed_failures, 0
    try:
        with pytest.raises(ChildProcessError, match=r"workers died.*Finished samples are kept"):
            generate(Deadly(), GRID, out=tmp_path / "a.h5", workers=client, num_samples=1, seed=0)
    finally:
        scheduler.allowed_failures = allowed


def test_a_worker_that_dies_is_told_from_a_full_disk(tmp_path):
    """ChildProcessError is an OSError too."""
    with pytest.raises(ChildProcessError, match="worker process died"):
        generate(Deadly(), GRID, out=tmp_path / "a.h5", workers=2, num_samples=2, seed=0)


@pytest.mark.slow
def test_the_address_of_no_scheduler(monkeypatch):
    with (
        pytest.raises(ConnectionError, match="Start one with `dask scheduler`"),
        cluster("tcp://127.0.0.1:1", timeout=0.5),
    ):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ImportError, match=r"pdeops\[dask\]"),
        cluster("tcp://127.0.0.1:1"),
    ):
        pass
