"""Rollouts: exact steps have no error, objectives are their formula, training beats persistence."""

import csv
import inspect
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from pdeops.batch import Batch
from pdeops.domain import Grid
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer
from pdeops.tasks import TASKS, evaluate, load_recipe, load_run, resume, train
from pdeops.tasks.operators import FramesAsChannels
from pdeops.tasks.rollout import RolloutRun, RolloutTable
from pdeops.tasks.unrolling import Unrolled, advance, roll_out
from pdeops.training import checkpoint

from .trajectories import DT, SPEED, Trajectories, WithoutTime, advected, multiplier

RECIPE = {
    "task": "rollout",
    "name": "small",
    "data": {"train": "train", "test": "test", "validation": 4},
    "model": {"name": "FNO", "n_modes": [8], "hidden_channels": 8, "n_layers": 2},
    "optimizer": {"name": "AdamW", "lr": 1e-2},
    "training": {"epochs": 4, "batch_size": 16},
}


class Exact(nn.Module):
    """One step of advection and diffusion, by its spectral multiplier."""

    def __init__(self, n):
        super().__init__()
        self.n = n
        self.multiplier = nn.Parameter(torch.view_as_real(multiplier(n)))

    def forward(self, u):
        return torch.fft.irfft(torch.view_as_complex(self.multiplier) * torch.fft.rfft(u), n=self.n)


def run_of(model, data, n_in=1, n_out=1):
    """A finished run of a one-step model in physical units."""
    identity = Normalizer.identity(1)
    frames = {"n_in": n_in, "n_out": n_out}
    operator = Operator(FramesAsChannels(model, **frames), identity, identity, **frames)
    recipe = load_recipe({**RECIPE, "data": {"train": "none", "window": frames}})
    return RolloutRun(Path("run"), recipe, operator, data.domain, None, 1, n_in, n_out)


def test_an_exact_step_has_no_error_at_any_time():
    data = advected(3, 9, dtype=torch.float64)
    report = evaluate(run_of(Exact(32), data), data)
    assert report["samples"] == 3
    assert report["times"] == pytest.approx([DT * k for k in range(1, 9)])
    assert max(report["error_at_times"]) < 1e-12
    assert min(report["persistence_at_times"]) > 0.1


def test_an_exact_step_keeps_its_correlation_and_its_spectrum():
    data = advected(3, 9, dtype=torch.float64)
    report = evaluate(run_of(Exact(32), data), data)
    assert report["correlation_at_times"] == pytest.approx([1.0] * 8, abs=1e-12)
    for found in report["correlation_time"].values():
        assert found["model"] == pytest.approx(8 * DT)
        assert found["censored"] == 3
        assert 0 < found["persistence"] < 8 * DT
    assert report["blow_up"]["samples"] == []
    spectra = report["spectra"]
    assert spectra["times"] == pytest.approx([DT, 4 * DT, 8 * DT])
    for model, target in zip(spectra["model"][0], spectra["target"][0], strict=True):
        assert model == pytest.approx(target, abs=1e-14)
    half = data.u[:, 1, 0].square().mean(-1).mean() / 2
    assert sum(spectra["target"][0][0]) == pytest.approx(half.item(), rel=1e-12)


def test_a_wave_that_runs_too_fast_has_a_known_correlation_time():
    """One wave, advected at 1.25 times its speed: the phase error grows by 2π · 0.1 per time 1."""
    grid = Grid((32,), (1.0,), "periodic")
    x, t = grid.nodes()[0], DT * torch.arange(41, dtype=torch.float64)
    u = torch.cos(2 * math.pi * (x - SPEED * t[:, None]))[None, :, None]
    data, fast = Trajectories(u, grid), Exact(32)
    k = 2 * math.pi * torch.arange(17, dtype=torch.float64)
    fast.multiplier.data = torch.view_as_real(torch.exp(-1.25j * SPEED * DT * k))
    found = evaluate(run_of(fast, data), data)["correlation_time"]
    for threshold in (0.8, 0.95):
        expected = math.acos(threshold) / (0.25 * SPEED * 2 * math.pi)
        assert found[f"{threshold:g}"]["model"] == pytest.approx(expected, abs=2e-3)
        assert found[f"{threshold:g}"]["censored"] == 0


def test_a_rollout_that_explodes_is_reported_with_its_sample_and_step():
    """Growth by 2 per step; the second trajectory starts from a tenth of what its data hold."""
    grid = Grid((32,), (1.0,), "periodic")
    wave = torch.sin(2 * math.pi * grid.nodes()[0])[None, None, None].double()
    u = torch.cat([wave, wave, wave]).expand(3, 9, 1, 32).clone()
    u[1, 0] /= 10
    u[2, 0, 0, 3] = 1e308
    data, growing = Trajectories(u, grid), Exact(32)
    growing.multiplier.data = torch.view_as_real(torch.full((17,), 2.0 + 0j))
    report = evaluate(run_of(growing, data), data)
    assert report["blow_up"]["multiple"] == 10
    found = [(s["sample"], s["step"]) for s in report["blow_up"]["samples"]]
    assert found == [(0, 4), (1, 7), (2, 1)]  # 2⁴ > 10, 2⁷/10 > 10
    assert report["error_at_times"][-1] == math.inf
    assert "3 of 3 trajectories blow up" in TASKS["rollout"].text(report)


def test_shuffled_frames_and_another_step_have_an_error():
    """The negative controls of the test above."""
    data = advected(3, 9, dtype=torch.float64)
    shuffled = Trajectories(data.u[:, [0, 2, 1, 3, 4, 5, 6, 8, 7]], data.domain)
    errors = evaluate(run_of(Exact(32), data), shuffled)["error_at_times"]
    assert [e > 0.1 for e in errors] == [True, True, False, False, False, False, True, True]
    half = Exact(32)
    half.multiplier.data = torch.view_as_real(multiplier(32, DT / 2))
    assert min(evaluate(run_of(half, data), data)["error_at_times"]) > 0.1


def test_the_stride_is_part_of_the_step():
    data = advected(2, 9, dtype=torch.float64)
    double = Exact(32)
    double.multiplier.data = torch.view_as_real(multiplier(32, 2 * DT))
    strided = load_recipe({**RECIPE, "data": {"train": "none", "window": {"stride": 2}}})
    run = RolloutRun(
        Path("run"), strided, run_of(double, data).operator, data.domain, None, 1, 1, 1
    )
    report = evaluate(run, data)
    assert report["times"] == pytest.approx([2 * DT * k for k in range(1, 5)])
    assert max(report["error_at_times"]) < 1e-12


class Mixing(nn.Module):
    """A linear map of channels at each node: (b, c, *space) -> (b, d, *space)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, u):
        return torch.einsum("dc,bcx->bdx", self.weight, u)


def mixing(n_in, n_out, channels, generator):
    weight = torch.randn(n_out * channels, n_in * channels, generator=generator).double() / 2
    return FramesAsChannels(Mixing(weight), n_in, n_out)


def mean_square(p, t):
    return (p - t).square().mean()


def test_a_rollout_is_the_step_applied_to_its_own_output(generator):
    """Two frames to three, seven frames by hand: u_{k+1..k+3} = W (u_{k-1}, u_k)."""
    step = mixing(2, 3, 1, generator)
    W = step.model.weight.detach()
    u = torch.randn(4, 2, 1, 5, generator=generator).double()
    found = roll_out(step, u, 7)
    known = [u[:, 0, 0], u[:, 1, 0]]
    while len(known) < 2 + 7:
        a, b = known[-2:]
        known += [W[i, 0] * a + W[i, 1] * b for i in range(3)]
    torch.testing.assert_close(found[:, :, 0], torch.stack(known[2:9], 1), rtol=1e-12, atol=1e-12)


def test_inputs_that_do_not_change_are_kept(generator):
    frames = torch.randn(2, 3, 3, 4, generator=generator)
    frames[:, :, 2:] = frames[:, :1, 2:]
    predicted = torch.randn(2, 2, 2, 4, generator=generator)
    after = advance(frames, predicted)
    assert torch.equal(after[:, 0], frames[:, 2])
    assert torch.equal(after[:, 1:, :2], predicted)
    assert torch.equal(after[:, :, 2], frames[:, :, 2])


@pytest.mark.parametrize(("steps", "pushforward"), [(1, 0), (3, 0), (3, 1), (3, 2)])
def test_the_objective_is_its_formula(steps, pushforward, generator):
    """Loss and gradient against a loop written out for the linear model, two frames to one."""
    step = mixing(2, 1, 1, generator)
    u = torch.randn(4, 2, 1, 5, generator=generator).double()
    y = torch.randn(4, steps, 1, 5, generator=generator).double()
    objective = Unrolled(mean_square, steps=steps, pushforward=pushforward)
    loss = objective(step, Batch(input=u, target=y))
    loss.backward()
    gradient = step.model.weight.grad

    W = step.model.weight.detach().clone().requires_grad_()
    a, b = u[:, 0, 0], u[:, 1, 0]
    terms = []
    for k in range(steps):
        v = W[0, 0] * a + W[0, 1] * b
        terms.append((v - y[:, k, 0]).square().mean())
        a, b = b, v.detach() if k < pushforward else v
    expected = sum(terms) / len(terms)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, W.grad, rtol=1e-12, atol=1e-14)


def test_pushforward_stops_the_gradient_and_unrolling_lets_it_through(generator):
    """d/dw (w² u - y)²: 2 w u (..) through both steps, w u (..) through the last alone.

    With one pushforward step of two this is the gradient of Brandstetter's loss over two:
    the one-step loss and the stability loss on the perturbed input u + ε = Φ(u).
    """
    u, y = (torch.randn(4, 1, 1, 5, generator=generator).double() for _ in range(2))
    target = torch.cat([torch.zeros_like(y), y], 1)
    w, gradients = 0.7, {}
    for pushforward in (0, 1):
        step = FramesAsChannels(Mixing(torch.full((1, 1), w, dtype=torch.float64)), 1, 1)
        batch = Batch(input=u, target=target)
        Unrolled(mean_square, steps=2, pushforward=pushforward)(step, batch).backward()
        gradients[pushforward] = step.model.weight.grad.item()
    defect = 2 * (w**2 * u - y)
    first = (2 * w * u * u).mean()  # of the first step, whose target is 0
    both = (2 * w * u * defect).mean()
    last = (w * u * defect).mean()
    assert gradients[0] == pytest.approx(((first + both) / 2).item(), rel=1e-12)
    assert gradients[1] == pytest.approx(((first + last) / 2).item(), rel=1e-12)


def test_noise_is_relative_to_each_channel(generator):
    """v⁰ = u⁰ + 0.1 σ ξ with the ξ that the global generator gives."""
    step = mixing(1, 1, 2, generator)
    u, y = (torch.randn(64, 1, 2, 50, generator=generator).double() for _ in range(2))
    scale = Normalizer(torch.zeros(2), torch.tensor([3.0, 0.01]))
    objective = Unrolled(mean_square, noise=0.1, scale=scale)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        loss = objective(step, Batch(input=u, target=y))
        torch.manual_seed(5)
        xi = torch.randn(u.shape, dtype=torch.float64)
    v = u + 0.1 * torch.tensor([3.0, 0.01]).double()[:, None] * xi
    torch.testing.assert_close(loss, mean_square(step(v), y), rtol=1e-12, atol=0)
    assert loss != Unrolled(mean_square)(step, Batch(input=u, target=y))


def test_a_tiny_training_beats_persistence(files, tmp_path):
    files["train"], files["test"] = advected(24, 11), advected(6, 11, seed=1)
    report = train(load_recipe(RECIPE), out=tmp_path / "run", device="cpu")
    assert set(report["validation"]) == {"relative_l2", "first_step_error"}
    run = load_run(tmp_path / "run")
    figures = evaluate(run)
    assert figures["samples"] == 6
    assert len(figures["times"]) == len(figures["error_at_times"]) == 10
    assert figures["relative_l2"] < 0.4 * figures["persistence"]
    assert figures["error_at_times"][0] < 0.5 * figures["persistence_at_times"][0]
    frames = files["test"].u[:, :1]
    by_hand = run(frames, 10) - files["test"].u[:, 1:]
    errors = by_hand.norm(dim=-1) / files["test"].u[:, 1:].norm(dim=-1)
    assert errors.mean((0, 2)).tolist() == pytest.approx(figures["error_at_times"], rel=1e-5)
    assert run(frames.double().numpy(), 3).shape == (6, 3, 1, 32)


OPTIONS = {
    "plain": {},
    "unrolled": {"steps": 3},
    "pushforward": {"steps": 3, "pushforward": 2},
    "noise": {"noise": 0.05},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_resumed_run_is_the_same_bit_for_bit(files, tmp_path, name):
    """Two epochs and then a third, against three at once; noise draws from the run's generators."""
    files["train"] = advected(12, 8)
    data, schedule = {"train": "train", "validation": 2}, {"name": "Constant"}
    plain = {**RECIPE, "data": data, "rollout": OPTIONS[name], "schedule": schedule}
    for folder, epochs in (("whole", 3), ("cut", 2)):
        recipe = load_recipe({**plain, "training": {"epochs": epochs, "batch_size": 16}})
        train(recipe, out=tmp_path / folder, device="cpu")
    file = tmp_path / "cut" / "recipe.toml"
    file.write_text(file.read_text().replace("epochs = 2", "epochs = 3"))
    assert resume(tmp_path / "cut")["reason"] == "finished"
    one, two = (
        checkpoint.load(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "cut")
    )
    for key, weight in one["model"].items():
        assert torch.equal(weight, two["model"][key])
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")


def test_the_options_change_the_training(files, tmp_path):
    files["train"] = advected(12, 8)
    losses = set()
    for name, options in OPTIONS.items():
        plain = {**RECIPE, "data": {"train": "train", "validation": 2}, "rollout": options}
        plain["training"] = {"epochs": 1, "batch_size": 16}
        train(load_recipe(plain), out=tmp_path / name, device="cpu")
        losses.add(rows(tmp_path / name)[0]["train_loss"])
    assert len(losses) == len(OPTIONS)


def rows(folder):
    """metrics.csv without its timing column."""
    with open(folder / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_several_frames_in_and_out(files, tmp_path):
    files["train"], files["test"] = advected(12, 10), advected(4, 10, seed=1)
    window = {"n_in": 3, "n_out": 2}
    data = {**RECIPE["data"], "window": window}
    plain = {**RECIPE, "data": data, "rollout": {"steps": 2}}
    train(load_recipe(plain), out=tmp_path / "run", device="cpu")
    run = load_run(tmp_path / "run")
    assert (run.n_in, run.n_out) == (3, 2)
    figures = evaluate(run)
    assert len(figures["error_at_times"]) == 7
    assert figures["times"][0] == pytest.approx(DT)
    assert figures["relative_l2"] < figures["persistence"]


def test_what_does_not_fit_is_refused(files, tmp_path):
    files["train"] = advected(6, 5)
    files["steady"] = WithoutTime(torch.zeros(4, 3, 1, 8), Grid((8,), (1.0,), "periodic"))
    small = {**RECIPE, "data": {"train": "train", "validation": 1}}

    def refused(match, **changes):
        with pytest.raises(ValueError, match=match):
            train(load_recipe({**small, **changes}), out=tmp_path / "run", device="cpu")
        assert not (tmp_path / "run").exists()

    refused("spans 6 frames, but a trajectory has 5", rollout={"steps": 5})
    refused("needs trajectories.*task 'supervised'", data={"train": "steady", "validation": 1})
    with pytest.raises(ValueError, match=r"pushforward must be .* below rollout.steps; got 2 of 2"):
        RolloutTable(steps=2, pushforward=2)
    with pytest.raises(ValueError, match="noise must be at least 0"):
        RolloutTable(noise=-0.1)
    with pytest.raises(ValueError, match="and finite; got nan"):
        RolloutTable(noise=float("nan"))
    train(load_recipe(small), out=tmp_path / "run", device="cpu")
    run = load_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"1 frames, 1 channels, 1 space axes.*got \(4, 2, 1, 32"):
        run(torch.zeros(4, 2, 1, 32), 3)
    with pytest.raises(ValueError, match="num_frames 0"):
        run(torch.zeros(4, 1, 1, 32), 0)
    with pytest.raises(ValueError, match=r"num_frames is an integer >= 1; got 2\.5"):
        inspect.unwrap(RolloutRun.__call__)(run, torch.zeros(4, 1, 1, 32), 2.5)  # no type check
    with pytest.raises(ValueError, match="names no test file"):
        evaluate(run)
    with pytest.raises(ValueError, match=r"task 'rollout'.*'supervised'"):
        load_run(tmp_path / "run", task="supervised")
