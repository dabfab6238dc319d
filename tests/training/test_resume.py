"""A run that was stopped and resumed equals one that was not, bit for bit."""

import csv
import os
import signal

import pytest
import torch

from pdeops.training import checkpoint, rng


def identical(a, b):
    """Equal in type, structure and every bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(identical(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    return type(a) is type(b) and a == b


def without_time(state):
    """A checkpoint's state but for what the clock wrote."""
    state = dict(state)
    state.pop("seconds", None)
    if "rows" in state:
        state["rows"] = [{k: v for k, v in r.items() if k != "seconds"} for r in state["rows"]]
    return state


def table(folder):
    """metrics.csv without its timing column."""
    with open(folder / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def same_run(one, other):
    """Equal weights, optimizer, schedule, averages, random state, best weights and metrics."""
    return table(one) == table(other) and all(
        identical(
            without_time(checkpoint.load(one / "checkpoints" / name)),
            without_time(checkpoint.load(other / "checkpoints" / name)),
        )
        for name in ("last.pt", "best.pt")
    )


def test_the_same_job_gives_the_same_run(job, whole_run, tmp_path):
    job.make_trainer(tmp_path).fit()
    assert same_run(whole_run, tmp_path)


def test_k_epochs_then_the_rest(job, whole_run, tmp_path):
    history = job.make_trainer(tmp_path).fit(until=2)
    assert (history.reason, history.epochs) == ("paused", 2)
    resumed = job.make_trainer(tmp_path, model=job.Net(seed=99))
    resumed.resume()
    assert resumed.fit().reason == "finished"
    assert same_run(whole_run, tmp_path)


def test_two_fits_of_one_trainer(job, whole_run, tmp_path):
    trainer = job.make_trainer(tmp_path)
    trainer.fit(until=1)
    torch.rand(5)  # the caller's random numbers are no affair of the run
    trainer.fit()
    assert same_run(whole_run, tmp_path)


@pytest.mark.parametrize("piece", [1, 2, 15, 23, 24, 25])
def test_ctrl_c_in_any_piece_of_any_step(job, whole_run, tmp_path, piece):
    # Twelve pieces per epoch; 23 and 24 are the last step of the second, 25 starts the third.
    count = 0

    def interrupted(model, batch):
        nonlocal count
        count += 1
        loss = job.mse(model, batch)  # after dropout has drawn: an abandoned step must give it back
        if count == piece:
            raise KeyboardInterrupt
        return loss

    history = job.make_trainer(tmp_path, objective=interrupted).fit()
    assert history.reason == "interrupted"
    position = checkpoint.load(tmp_path / "checkpoints" / "last.pt")["position"]
    assert position["epoch"] * 6 + position["step"] == (piece - 1) // 2
    resumed = job.make_trainer(tmp_path)
    resumed.resume()
    resumed.fit()
    assert same_run(whole_run, tmp_path)


def test_ctrl_c_while_evaluating(job, whole_run, tmp_path):
    count = 0
    evaluate = job.evaluate_on(job.Fields(7, seed=2, shift=False))

    def interrupted(model):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return evaluate(model)

    trainer = job.make_trainer(tmp_path, evaluate=interrupted)
    assert trainer.fit().reason == "interrupted"
    resumed = job.make_trainer(tmp_path)
    resumed.resume()
    resumed.fit()
    assert same_run(whole_run, tmp_path)


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP],
    ids=lambda number: number.name,
)
def test_a_signal_is_granted_after_the_step(job, whole_run, tmp_path, number):
    count = 0

    def interrupted(model, batch):
        nonlocal count
        count += 1
        if count == 15:
            os.kill(os.getpid(), number)
        return job.mse(model, batch)

    before = signal.getsignal(number)
    assert job.make_trainer(tmp_path, objective=interrupted).fit().reason == "interrupted"
    assert signal.getsignal(number) is before
    position = checkpoint.load(tmp_path / "checkpoints" / "last.pt")["position"]
    assert (position["epoch"], position["step"]) == (1, 2)  # the step of piece 15 is done
    resumed = job.make_trainer(tmp_path)
    resumed.resume()
    resumed.fit()
    assert same_run(whole_run, tmp_path)


def test_a_signal_that_is_ignored_stays_ignored(job, whole_run, tmp_path):
    """nohup ignores SIGHUP: closing the terminal must not stop the run."""

    def hung_up(model, batch):
        os.kill(os.getpid(), signal.SIGHUP)
        return job.mse(model, batch)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        history = job.make_trainer(tmp_path, objective=hung_up).fit()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert history.reason == "finished"
    assert same_run(whole_run, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_a_process_with_a_loading_worker(job, number, start, whole_run, tmp_path):
    process = start("train", tmp_path, "--pause", "0.02", "--workers", 1)
    for _ in range(2 * 6 + 5):  # into the third step of the second epoch
        assert process.stdout.readline() == "piece\n"
    os.killpg(process.pid, number)  # as a terminal or batch system does: the worker hears it too
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert checkpoint.load(tmp_path / "checkpoints" / "last.pt")["position"]["step"] > 0
    resumed = job.make_trainer(tmp_path)
    resumed.resume()
    assert resumed.fit().reason == "finished"
    assert same_run(whole_run, tmp_path)


@pytest.mark.slow
def test_a_closed_terminal(job, whole_run, tmp_path):
    """The kernel sends SIGHUP, and every later line of the log is an error of its own."""
    import fcntl
    import pty
    import subprocess
    import sys
    import termios

    terminal, end = pty.openpty()

    def controlled():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, job.__file__, "train", str(tmp_path), "--pause", "0.05"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()},
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=controlled,
    )
    os.close(end)
    text = b""
    while text.count(b"piece") < 2 * 6 + 5:
        text += os.read(terminal, 1000)
    os.close(terminal)
    assert process.wait(timeout=60) == 130
    assert checkpoint.load(tmp_path / "checkpoints" / "last.pt")["position"]["epoch"] == 1
    resumed = job.make_trainer(tmp_path)
    resumed.resume()
    assert resumed.fit().reason == "finished"
    assert same_run(whole_run, tmp_path)


def test_kill_in_the_middle_of_writing(job, start, whole_run, tmp_path):
    process = start("die", tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, output
    halves = list((tmp_path / "checkpoints").glob(".*.tmp"))
    assert len(halves) == 1
    with pytest.raises(ValueError, match="truncated"):
        checkpoint.load(halves[0])
    resumed = job.make_trainer(tmp_path)
    resumed.resume()
    resumed.fit()
    assert same_run(whole_run, tmp_path)
    assert not list((tmp_path / "checkpoints").glob(".*.tmp"))


def test_rows_beyond_the_checkpoint_are_cut(job, tmp_path):
    job.make_trainer(tmp_path, save_every=3).fit(until=3)
    trainer = job.make_trainer(tmp_path, save_every=3)
    trainer.resume()
    trainer.fit(until=4)
    whole = table(tmp_path)
    (tmp_path / "metrics.csv").write_text("epoch,step\n1,6\n2,12\n3,18\n4,24\n4,2")  # torn
    trainer = job.make_trainer(tmp_path, save_every=3)
    trainer.resume()
    trainer.fit()
    assert table(tmp_path) == whole


def test_best_is_kept_across_a_resume(job, tmp_path):
    scores = iter([3.0, 1.0, 2.0, 1.5])

    def evaluate(model):
        return {"error": next(scores)}

    job.make_trainer(tmp_path, evaluate=evaluate).fit(until=2)
    best = checkpoint.load(tmp_path / "checkpoints" / "best.pt")
    trainer = job.make_trainer(tmp_path, evaluate=evaluate)
    trainer.resume()
    history = trainer.fit()
    assert (history.best_epoch, history.best_value) == (2, 1.0)
    assert history.metrics == {"error": 1.5}
    assert identical(best, checkpoint.load(tmp_path / "checkpoints" / "best.pt"))


def test_negative_controls(job, whole_run, tmp_path, monkeypatch):
    job.make_trainer(tmp_path / "seed", seed=4).fit()
    assert not same_run(whole_run, tmp_path / "seed")

    for name in ("forgets random numbers", "forgets averages", "forgets moments"):
        folder = tmp_path / name
        job.make_trainer(folder).fit(until=2)
        trainer = job.make_trainer(folder)
        with monkeypatch.context() as patch:
            if name == "forgets random numbers":
                trainer.resume()
                trainer.state.rng = rng.seeded(3, 0, trainer.device)
            elif name == "forgets averages":
                patch.setattr(trainer.learner.ema, "load_state_dict", lambda state: None)
                trainer.resume()
            else:
                trainer.resume()
                trainer.learner.optimizer.state.clear()
            trainer.fit()
        assert not same_run(whole_run, folder), name


def test_the_callers_random_numbers_go_on(job, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    job.make_trainer(tmp_path).fit(until=1)
    assert torch.equal(torch.rand(4), expected)


def test_another_run_is_refused(job, tmp_path):
    job.make_trainer(tmp_path).fit(until=1)
    with pytest.raises(ValueError, match="already holds a run"):
        job.make_trainer(tmp_path).fit()
    with pytest.raises(ValueError, match=r"sampler was .*'seed': 3.*'seed': 4"):
        job.make_trainer(tmp_path, seed=4).resume()
    with pytest.raises(ValueError, match=r"clip was 0\.5, now is None"):
        job.make_trainer(tmp_path, clip=None).resume()
    with pytest.raises(ValueError, match="There is no checkpoint"):
        job.make_trainer(tmp_path / "elsewhere").resume()


def test_a_finished_run_can_be_prolonged(job, tmp_path):
    job.make_trainer(tmp_path, epochs=2).fit()
    trainer = job.make_trainer(tmp_path, epochs=3)
    trainer.resume()
    history = trainer.fit()
    assert (history.reason, history.epochs, len(history.rows)) == ("finished", 3, 3)
    again = job.make_trainer(tmp_path, epochs=3)
    again.resume()
    assert again.fit().rows == history.rows
