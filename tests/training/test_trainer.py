"""What the loop computes: accumulation, clipping, averages, stopping, records, errors."""

import csv
import logging
import math
from dataclasses import replace
from itertools import chain

import pytest
import torch

from pdeops.batch import Batch
from pdeops.training import DivergedError, TrainingOptions, checkpoint
from pdeops.training.optim import Adam, Constant, OneCycle
from pdeops.training.sampling import Sampler

PLAIN = {"ema": None, "clip": None, "accumulate": 1}


def weights(trainer):
    """All parameters as one vector of real and imaginary parts."""
    return torch.cat(
        [torch.view_as_real(p.detach() + 0j).flatten() for p in trainer.model.parameters()]
    )


def double_job(job, folder, **changes):
    """The job in float64 without dropout, so that only the order of sums can differ."""
    dataset = job.Fields()
    dataset.x, dataset.y = dataset.x.double(), dataset.y.double()
    model = job.in_double(job.Net(dropout=0.0))
    arguments = {"model": model, "dataset": dataset, "evaluate": lambda model: {"error": 0.0}}
    return job.make_trainer(folder, **{**arguments, **PLAIN, **changes})


def test_accumulation_equals_the_whole_batch(job, tmp_path):
    whole = double_job(job, tmp_path / "whole")
    whole.fit()
    for pieces in (2, 3, 50):  # 5 = 2 + 2 + 1 is uneven, and 50 pieces are one sample each
        parts = double_job(job, tmp_path / str(pieces), accumulate=pieces)
        parts.fit()
        torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-10, atol=1e-12)
        assert parts.state.rows[-1]["train_loss"] == pytest.approx(
            whole.state.rows[-1]["train_loss"]
        )


def test_clipping_bounds_the_gradient(job, tmp_path):
    norms = {}
    for clip in (None, 0.05):
        seen = norms.setdefault(clip, [])
        trainer = double_job(job, tmp_path / str(clip), clip=clip)
        update = trainer.learner.update

        def counted(norm, update=update, trainer=trainer, seen=seen):
            update(norm)
            seen.append(trainer.learner.gradient_norm().item())

        trainer.learner.update = counted
        trainer.fit(until=1)
    assert min(norms[None]) > 0.05
    assert max(norms[0.05]) <= 0.05
    assert norms[0.05][0] == pytest.approx(0.05, rel=1e-4)


def test_training_learns(job, tmp_path):
    trainer = job.make_trainer(
        tmp_path, model=job.Net(dropout=0.0), epochs=30, **PLAIN, save_every=30
    )
    history = trainer.fit()
    assert history.rows[-1]["train_loss"] < 0.05 * history.rows[0]["train_loss"]
    assert history.best_value < 0.1


def test_train_loss_is_the_sample_weighted_mean(job, tmp_path):
    # At rest (lr tiny) the mean over batches of 5, 5, ..., 2 is the mean over all samples.
    trainer = double_job(job, tmp_path, optimizer=Adam(lr=1e-30), schedule=Constant(), epochs=1)
    batch = Batch.collate([trainer.dataset[i] for i in range(27)])
    expected = job.mse(trainer.model, batch).item()
    assert trainer.fit().rows[0]["train_loss"] == pytest.approx(expected, rel=1e-12)


def test_best_holds_the_averaged_weights_that_were_evaluated(job, tmp_path):
    evaluated = []

    def evaluate(model):
        assert not model.training
        evaluated.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"error": [3.0, 1.0, math.nan, 2.0][len(evaluated) - 1]}

    trainer = job.make_trainer(tmp_path, evaluate=evaluate)
    history = trainer.fit()
    assert (history.best_epoch, history.best_metrics) == (2, {"error": 1.0})
    best, last = checkpoint.load(trainer.best_path), checkpoint.load(trainer.last_path)
    assert best["carry"] == last["carry"] == {"model": "Net", "arguments": {"dropout": 0.2}}
    assert (best["epoch"], best["metrics"]) == (2, {"error": 1.0})
    assert all(torch.equal(v, evaluated[1][k]) for k, v in best["model"].items())
    assert not torch.equal(last["model"]["lift.weight"], evaluated[3]["lift.weight"])
    assert torch.equal(last["ema"]["average"]["lift.weight"], evaluated[3]["lift.weight"])


def test_early_stopping(job, tmp_path):
    scores = iter([3.0, 2.0, 2.5, 2.0, 1.0, 0.5])
    trainer = job.make_trainer(
        tmp_path, evaluate=lambda model: {"error": next(scores)}, epochs=20, patience=2
    )
    history = trainer.fit()
    assert (history.reason, history.epochs, history.best_epoch) == ("early stop", 4, 2)
    resumed = job.make_trainer(tmp_path, epochs=20, patience=2)
    resumed.resume()
    assert resumed.fit().reason == "early stop"
    assert resumed.fit().epochs == 4


def test_evaluations_and_the_table(job, tmp_path):
    trainer = job.make_trainer(tmp_path, epochs=5, eval_every=2)
    history = trainer.fit()
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "lr", "train_loss", "error", "samples", "seconds"]
    assert [r["epoch"] for r in rows] == list("12345")
    assert [r["step"] for r in rows] == ["6", "12", "18", "24", "30"]
    assert [bool(r["error"]) for r in rows] == [False, True, False, True, True]  # the last, always
    assert float(rows[-1]["error"]) == history.metrics["error"]
    assert float(rows[2]["train_loss"]) == history.rows[2]["train_loss"]
    seconds = [float(r["seconds"]) for r in rows]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_nan_stops_with_epoch_and_step_and_keeps_the_last_good_state(job, tmp_path):
    count = 0

    def objective(model, batch):
        nonlocal count
        count += 1
        loss = job.mse(model, batch)
        return loss * math.nan if count == 2 * 6 + 4 else loss

    trainer = job.make_trainer(tmp_path, objective=objective, accumulate=1)
    with pytest.raises(DivergedError, match=r"loss is not finite in epoch 3, step 4 of 6"):
        trainer.fit()
    state = checkpoint.load(trainer.last_path)
    assert state["position"]["epoch"] == 2
    assert all(v.isfinite().all() for v in state["model"].values())


def test_an_infinite_gradient_of_a_finite_loss_stops_too(job, tmp_path):
    def objective(model, batch):
        return (model(batch.input) * 0).abs().sqrt().mean()

    with pytest.raises(DivergedError, match=r"gradient is not finite in epoch 1, step 1"):
        job.make_trainer(tmp_path, objective=objective, clip=None).fit()


def test_an_epoch_visits_every_sample_once_in_a_new_order():
    sampler = Sampler(seed=0, num_samples=27, batch_size=5)
    orders = [sampler.order(e) for e in range(3)]
    assert all(sorted(order) == list(range(27)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert replace(sampler, seed=1).order(0) != orders[0]
    assert list(chain.from_iterable(sampler.batches(1))) == orders[1]
    assert list(chain.from_iterable(sampler.batches(1, step=4))) == orders[1][20:]
    assert [sampler.size(s) for s in range(6)] == [5, 5, 5, 5, 5, 2]


def test_the_dataset_hears_of_every_epoch(job, tmp_path):
    dataset = job.Fields()
    trainer = job.make_trainer(tmp_path, dataset=dataset)
    trainer.fit(until=2)
    trainer.fit()
    assert dataset.epochs_heard == [0, 1, 2, 3]


def test_a_dataset_may_read_a_batch_at_once(job, tmp_path):
    class AtOnce(job.Fields):
        def __getitems__(self, indices):
            return Batch.collate([self[i] for i in indices])

    one, two = (
        job.make_trainer(tmp_path / name, dataset=dataset)
        for name, dataset in (("one", job.Fields()), ("two", AtOnce()))
    )
    one.fit()
    two.fit()
    assert torch.equal(weights(one), weights(two))


def test_bfloat16_keeps_float32_weights_and_ffts(job, tmp_path):
    dtypes = set()

    def objective(model, batch):
        hook = model.bypass.register_forward_hook(lambda m, i, o: dtypes.add(("bypass", o.dtype)))
        other = model.spectral.register_forward_hook(lambda m, i, o: dtypes.add(("fft", o.dtype)))
        loss = job.mse(model, batch)
        hook.remove()
        other.remove()
        return loss

    trainer = job.make_trainer(tmp_path, objective=objective, autocast=True)
    history = trainer.fit()
    assert dtypes == {("bypass", torch.bfloat16), ("fft", torch.float32)}
    assert trainer.model.spectral.weight.dtype == trainer.model.lift.weight.dtype == torch.float32
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]


@pytest.mark.slow
# Inductor's own: what it imports, and that it leaves complex arithmetic to eager kernels.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")
def test_compiled_steps_equal_eager_ones(job, tmp_path):
    eager, compiled = (
        double_job(job, tmp_path / str(flag), compile=flag, epochs=2) for flag in (False, True)
    )
    eager.fit()
    compiled.fit()
    torch.testing.assert_close(weights(compiled), weights(eager), rtol=1e-8, atol=1e-10)
    names = checkpoint.load(compiled.last_path)["model"].keys()
    assert names == checkpoint.load(eager.last_path)["model"].keys()


def test_tensorboard_if_asked(job, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = job.make_trainer(tmp_path, tensorboard=True).fit()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [(e.step, e.value) for e in events.Scalars("train_loss")]
    assert losses == [(r["epoch"], pytest.approx(r["train_loss"])) for r in history.rows]
    assert len(events.Scalars("error")) == 4
    job.make_trainer(tmp_path / "without").fit()
    assert not (tmp_path / "without" / "tensorboard").exists()


def test_every_file_opens_without_pickles(job, tmp_path):
    job.make_trainer(tmp_path).fit()
    files = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert files == ["best.pt", "last.pt"]
    for name in files:
        state = torch.load(tmp_path / "checkpoints" / name, weights_only=True)
        assert state["format_version"] == 2


def test_a_line_per_epoch_where_there_is_no_terminal(job, tmp_path, caplog, capsys):
    with caplog.at_level(logging.INFO, logger="pdeops"):
        job.make_trainer(tmp_path).fit()
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 5
    assert "steps per epoch, 4 epochs" in lines[0]
    for part in ("epoch 2/4", "loss ", "error ", "samples/s", " left"):
        assert part in lines[2]
    assert capsys.readouterr() == ("", "")


def test_a_long_epoch_has_lines_without_a_terminal(job, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("pdeops.training.progress._FIRST_LINE", 0.0)
    with caplog.at_level(logging.INFO, logger="pdeops"):
        trainer = job.make_trainer(tmp_path)
        trainer.fit()
    steps = trainer.sampler.steps_per_epoch
    lines = [r.getMessage() for r in caplog.records]
    assert sum(f"step 1/{steps}" in line for line in lines) == 4
    assert sum(f"epoch 4/4  step {steps}/{steps}" in line for line in lines) == 1


def test_a_bar_on_a_terminal(job, tmp_path, monkeypatch):
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr("pdeops.training.progress._REFRESH_SECONDS", 0.0)
    job.make_trainer(tmp_path).fit()
    for part in ("epoch 4/4", "loss ", "samples/s", " left", "error "):
        assert part in terminal.getvalue()


def test_messages_for_the_caller(job, tmp_path):
    with pytest.raises(ValueError, match="'wrong' is not among those evaluated: error, samples"):
        job.make_trainer(tmp_path / "a", monitor="wrong").fit()
    with pytest.raises(ValueError, match=r"returns a scalar.*got shape"):
        job.make_trainer(tmp_path / "b", objective=lambda m, b: (m(b.input) - b.target) ** 2).fit()
    with pytest.raises(ValueError, match="dataset is empty"):
        job.make_trainer(tmp_path / "c", dataset=torch.utils.data.Subset(job.Fields(), []))
    with pytest.raises(ValueError, match="nothing to train"):
        job.make_trainer(tmp_path / "d", model=job.Net().requires_grad_(False))
    with pytest.raises(ValueError, match="names of other columns"):
        job.make_trainer(tmp_path / "e", evaluate=lambda m: {"error": 1.0, "lr": 2.0}).fit()
    pairs = torch.utils.data.TensorDataset(torch.zeros(5, 1, 16), torch.zeros(5, 1, 16))
    with pytest.raises(ValueError, match="yields samples such as Batch"):
        job.make_trainer(tmp_path / "f", dataset=pairs).fit()
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("eval_every", 0),
        ("save_every", -1),
        ("accumulate", 0),
        ("clip", 0.0),
        ("ema", 1.0),
        ("patience", 0),
        ("num_workers", -1),
    ],
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .*; got {value}"):
        TrainingOptions(**{name: value})


def test_one_cycle_spans_the_run(job, tmp_path):
    trainer = job.make_trainer(tmp_path, schedule=OneCycle(final_factor=0.0))
    trainer.fit()
    assert trainer.learner.lr == 0.0
    assert trainer.learner.schedule.last_epoch == 4 * 6
