"""An optimizer with a line search in the loop: quadratics, pieces, clipping, averages, resume."""

import pytest
import torch
from torch import nn

from pdeops.batch import Batch
from pdeops.training import DivergedError, Trainer, TrainingOptions, checkpoint
from pdeops.training.optim import LBFGS, AdamW, Constant

N, SAMPLES = 12, 10


class Vector(nn.Module):
    """The unknown x of a quadratic."""

    def __init__(self):
        super().__init__()
        self.x = nn.Parameter(torch.zeros(N, dtype=torch.float64))

    def forward(self, a):
        return a @ self.x


class Rows(torch.utils.data.Dataset):
    """Rows of a system of normal equations with condition number 30: sample i is (a_i, b_i)."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        a = torch.randn(SAMPLES * N, N, generator=generator, dtype=torch.float64)
        self.solution = torch.randn(N, generator=generator, dtype=torch.float64)
        self.a = a * torch.logspace(-0.75, 0, N, dtype=torch.float64)
        self.b = self.a @ self.solution

    def __len__(self):
        return len(self.a)

    def __getitem__(self, i):
        return Batch(input=self.a[i], target=self.b[i])


def mean_square(model, batch):
    return (model(batch.input) - batch.target).square().mean()


def trainer(folder, *, optimizer=None, objective=mean_square, model=None, **options):
    defaults = {"epochs": 6, "batch_size": SAMPLES * N}
    return Trainer(
        model or Vector(),
        objective,
        Rows(),
        options=TrainingOptions(**{**defaults, **options}),
        optimizer=optimizer or LBFGS(max_iter=4),
        schedule=Constant(),
        evaluate=lambda model: {"error": 0.0},
        monitor="error",
        folder=folder,
        seed=1,
    )


def error(run):
    solution = run.dataset.solution
    return ((run.model.x.detach() - solution).norm() / solution.norm()).item()


def test_a_quadratic_is_solved_in_few_steps(tmp_path):
    """Six steps; as many gradient steps are nowhere near, and one iteration is not enough."""
    for name, optimizer in (("lbfgs", LBFGS(max_iter=8)), ("adamw", AdamW(lr=0.1))):
        run = trainer(tmp_path / name, optimizer=optimizer)
        run.fit()
        assert (error(run) < 1e-4) == (name == "lbfgs"), error(run)
    short = trainer(tmp_path / "short", epochs=1, optimizer=LBFGS(max_iter=1))
    short.fit()
    assert error(short) > 0.1


def test_the_history_goes_from_step_to_step(tmp_path):
    """One iteration a step with history is L-BFGS; forgetting it each step is steepest descent."""
    kept = trainer(tmp_path / "kept", epochs=25, optimizer=LBFGS(max_iter=1))
    kept.fit()
    forgetful = trainer(tmp_path / "forgetful", epochs=25, optimizer=LBFGS(max_iter=1))
    update = forgetful.learner.update

    def forget(norm):
        forgetful.learner.optimizer.state.clear()
        update(norm)

    forgetful.learner.update = forget
    forgetful.fit()
    assert error(kept) < 0.05 * error(forgetful)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_resume_is_exact(tmp_path, ema):
    options = {"batch_size": 50, "accumulate": 2, "ema": ema}
    whole = trainer(tmp_path / "whole", **options)
    whole.fit()
    trainer(tmp_path / "cut", **options).fit(until=3)
    resumed = trainer(tmp_path / "cut", **options)
    resumed.resume()
    resumed.fit()
    assert torch.equal(resumed.model.x, whole.model.x)
    one, two = (
        checkpoint.load(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "cut")
    )
    if ema is not None:
        assert one["ema"]["num_updates"] == 18  # one for each step, not for each evaluation
        assert torch.equal(one["ema"]["average"]["x"], two["ema"]["average"]["x"])
    state, other = (run["optimizer"]["state"][0] for run in (one, two))
    assert state["n_iter"] == other["n_iter"] > 0
    assert all(map(torch.equal, state["old_dirs"], other["old_dirs"]))

    trainer(tmp_path / "forgetful", **options).fit(until=3)
    forgetful = trainer(tmp_path / "forgetful", **options)
    forgetful.resume()
    forgetful.learner.optimizer.state.clear()
    forgetful.fit()
    assert not torch.equal(forgetful.model.x, whole.model.x)


def test_pieces_give_the_whole_batch(tmp_path):
    """In every evaluation of the line search, or the steps would part."""
    runs = []
    for accumulate in (1, 3):
        run = trainer(tmp_path / str(accumulate), accumulate=accumulate, epochs=3)
        run.fit()
        runs.append(run)
    torch.testing.assert_close(runs[0].model.x, runs[1].model.x, rtol=1e-9, atol=1e-12)


def test_every_evaluation_is_clipped(tmp_path):
    run, seen = trainer(tmp_path, clip=0.01, epochs=2), []
    optimizer = run.learner.optimizer
    gather = optimizer._gather_flat_grad

    def watched():
        seen.append(gather().norm().item())
        return gather()

    optimizer._gather_flat_grad = watched
    run.fit()
    assert len(seen) > 4
    assert max(seen) <= 0.01 * (1 + 1e-9)


def test_evaluations_of_a_step_share_their_random_numbers(tmp_path):
    """The line search would compare different functions otherwise. The first evaluation is that of
    `gradients`; it is not done twice."""
    draws, steps = [], []

    def noisy(model, batch):
        xi = torch.randn(1, dtype=torch.float64)
        draws.append(xi.item())
        return mean_square(model, batch) * (1 + 0.1 * xi).squeeze()

    run = trainer(tmp_path, objective=noisy, epochs=3)
    update = run.learner.update

    def counted(norm):
        steps.append(len(draws) - 1)  # the first evaluation of the step is the last so far
        update(norm)

    run.learner.update = counted
    run.fit()
    parts = [draws[a:b] for a, b in zip(steps, [*steps[1:], len(draws)], strict=True)]
    assert all(len(part) > 1 for part in parts)
    assert all(len(set(part)) == 1 for part in parts)
    assert len({part[0] for part in parts}) == len(parts)


def test_a_line_search_into_infinity_keeps_the_earlier_state(tmp_path):
    count = 0

    def objective(model, batch):
        nonlocal count
        count += 1
        loss = mean_square(model, batch)
        return loss * torch.inf if count == 8 else loss

    run = trainer(tmp_path, objective=objective, epochs=4, optimizer=LBFGS(max_iter=3))
    with pytest.raises(DivergedError, match=r"line search met a loss of inf.*in epoch \d, step 1"):
        run.fit()
    assert checkpoint.load(run.last_path)["model"]["x"].isfinite().all()
