"""Networks inside solvers, from a recipe to a solve."""

from functools import partial

import pytest
import torch

import pdeops
from pdeops.solvers import Diffusion, cg, deep_conjugate_direction
from pdeops.tasks import load_recipe, load_run, resume, train
from pdeops.tasks.preconditioner import load_correction
from pdeops.training import checkpoint

RECIPE = {
    "task": "preconditioner",
    "name": "small",
    "seed": 2,
    "systems": {"name": "PoissonSystems", "shapes": [[16, 16], [8, 32]], "num_samples": 32},
    "model": {"name": "DeepConjugate", "widths": [4, 8], "features": 4},
    "objective": {"name": "ConjugateDirection", "steps": 2},
    "optimizer": {"name": "AdamW", "lr": 5e-3},
    "training": {"epochs": 6, "batch_size": 8, "eval_every": 3},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "small"
    return folder, train(load_recipe(RECIPE), out=folder, device="cpu")


def test_training_lowers_the_contraction(run, tmp_path):
    _, report = run
    assert report["reason"] == "finished"
    untrained = {**RECIPE, "optimizer": {"name": "AdamW", "lr": 1e-9}}
    at_start = train(load_recipe(untrained), out=tmp_path / "start", device="cpu")
    reached, start = (r["validation"]["contraction"] for r in (report, at_start))
    assert reached < 0.9 * start


def test_a_trained_network_is_of_use_on_another_grid(run):
    folder, _ = run
    model = pdeops.load_correction(folder)
    assert not model.training
    grid = pdeops.Grid((40, 56), (40.0, 56.0), "neumann", "centers")
    A, x = Diffusion(1.0, grid), grid.nodes()[0] ** 2 + grid.nodes()[1]
    left = []
    for method in (cg, partial(deep_conjugate_direction, net=model.on(A))):
        e = x - method(A, A @ x, max_iterations=5).x
        left.append((e * (A @ e)).sum().sqrt() / (x * (A @ x)).sum().sqrt())
    assert left[1] < 0.85 * left[0]


@pytest.mark.slow
def test_the_published_network_trains_too(tmp_path):
    """In 3D, with the published measure, from Ritz vectors."""
    sizes = {"channels": 4, "convolutions": 2, "blocks": 1, "coarse_blocks": 1}
    plain = {
        **RECIPE,
        "systems": {
            "name": "PoissonSystems",
            "shapes": [[8, 9, 8]],
            "num_samples": 8,
            "errors": "ritz_mixtures",
        },
        "model": {"name": "PublishedDeepConjugate", **sizes},
        "objective": {"name": "ConjugateDirection", "steps": 1, "measure": "residual"},
        "training": {"epochs": 2, "batch_size": 4},
    }
    report = train(load_recipe(plain), out=tmp_path / "run", device="cpu")
    assert report["reason"] == "finished"
    assert load_correction(report["run"]).arguments["coarse_blocks"] == 1


def test_a_run_can_be_resumed_and_names_its_kind(run, tmp_path):
    folder, _ = run
    assert resume(folder)["epochs"] == 6
    loaded = load_run(folder)
    assert (loaded.task, loaded.recipe.name) == ("preconditioner", "small")
    assert loaded.training_seconds > 0
    for name, weight in load_correction(folder).state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], weight)
    with pytest.raises(ValueError, match=r"task 'preconditioner'.*Load it.*load_correction"):
        load_run(folder, task="supervised")
    with pytest.raises(ValueError, match="neither a run folder, a file, nor a shipped network"):
        load_correction("dcdm_poison")
    other = tmp_path / "operator.pt"
    checkpoint.save(other, {"model": {}, "carry": {"task": "supervised", "model": {}}})
    with pytest.raises(ValueError, match=r"task 'supervised'; expected .* 'preconditioner'"):
        load_correction(other)
    with pytest.raises(ValueError, match="predicts no fields"):
        pdeops.predict(loaded, "data.h5", tmp_path / "out.h5")
