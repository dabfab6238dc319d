"""Worker process that runs workloads with the package of one checkout and reports their times.

Started by `checkouts.py` as `python checkout_worker.py CHECKOUT THREADS`. Requests are lines on
standard input, answers are lines of JSON on standard output:

    setup NAME   build the workload NAME                 {}
    call NAME    time one call of it                     {"wall": seconds, "cpu": seconds}
    drop NAME    release it                              {}

or {"error": message}; the traceback goes to standard error.

The file runs alone, with either package: it imports nothing from this folder, and looks up names
that moved between the versions in each of their modules.
"""

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Call = Callable[[], Any]


def first_of(*places: str) -> Any:
    """The first object "module:name" that exists in this checkout."""
    for place in places:
        module, _, name = place.partition(":")
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    raise ImportError(f"None of {', '.join(places)} exists in this checkout; add its new place.")


def training_step(recipe_name: str, n: int) -> Call:
    """Gradients and parameter update of a recipe's model on random fields of n x n nodes."""
    import torch

    import pdeops

    learner_class = first_of("pdeops.training.learner:Learner")
    supervised = first_of(
        "pdeops.training.objectives:Supervised", "pdeops.tasks.supervised:Supervised"
    )
    models, losses = first_of("pdeops.models:MODELS"), first_of("pdeops.losses:LOSSES")
    optimizers = first_of("pdeops.training.optim:OPTIMIZERS")
    schedules = first_of("pdeops.training.optim:SCHEDULES")
    operator = first_of("pdeops.nn.operator:Operator")
    identity = first_of("pdeops.normalizer:Normalizer").identity
    load_recipe = first_of("pdeops.tasks:load_recipe", "pdeops.recipe:load_recipe")
    recipe: Any = load_recipe(recipe_name)
    grid = pdeops.Grid((n, n))
    torch.manual_seed(recipe.seed)
    model = models[recipe.model.name](1, 1, grid, **recipe.model.arguments)
    learner = learner_class(
        operator(model, identity(1), identity(1)).train(),
        supervised(losses[recipe.loss.name](grid, **recipe.loss.arguments)),
        options=recipe.training,
        optimizer=optimizers[recipe.optimizer.name](**recipe.optimizer.arguments),
        schedule=schedules[recipe.schedule.name](**recipe.schedule.arguments),
        total_steps=1000,
        device=torch.device("cpu"),
    )
    size = recipe.training.batch_size
    x, y = torch.randn(2, size, 1, n, n, generator=torch.Generator().manual_seed(0))

    def step(batch: Any) -> None:
        learner.gradients(batch, size)
        learner.update(learner.gradient_norm())

    batch = accepted(step, x, y)
    return lambda: step(batch)


def accepted(step: Callable[[Any], None], x: Any, y: Any) -> Any:
    """The batch of x and y in the form that `step` takes: a dict, or a `Batch`."""
    forms: list[Callable[[], Any]] = [
        lambda: first_of("pdeops.batch:Batch")(input=x, target=y),
        lambda: {"x": x, "y": y},
    ]
    reasons = []
    for form in forms:
        try:
            batch = form()
            step(batch)
        except (ImportError, TypeError, AttributeError, KeyError) as error:
            reasons.append(f"{type(error).__name__}: {error}")
        else:
            return batch
    raise TypeError(f"The learner takes no form of batch that is known here: {'; '.join(reasons)}")


def loading_epoch(num_samples: int, batch_size: int, n: int) -> Call:
    """One epoch of shuffled batches from an HDF5 file in the page cache."""
    import numpy as np

    from pdeops.datasets import convert, open_dataset

    stream = first_of("pdeops.training.sampling:stream")
    sampler = first_of("pdeops.training.sampling:Sampler")(
        seed=0, num_samples=num_samples, batch_size=batch_size
    )
    folder = TemporaryDirectory()
    rng = np.random.default_rng(0)
    a, u = (rng.standard_normal((num_samples, n, n), dtype=np.float32) for _ in range(2))
    path = Path(folder.name) / "pairs.h5"
    convert({"a": a, "u": u}, path, inputs=["a"], targets=["u"])
    dataset = open_dataset(path)

    def epoch() -> float:
        assert folder is not None  # keeps the file as long as the call
        total = 0.0
        for batch in stream(dataset, sampler, epoch=0, step=0, end=1, num_workers=0):
            x = batch["x"] if isinstance(batch, dict) else batch.input
            total += float(x[0, 0, 0, 0])  # a lazy tensor would not have been read
        return total

    return epoch


def poisson(n: int) -> Call:
    """-Δu = 1 on n x n unknowns to 1e-10 by multigrid-CG; assembly and set-up included."""
    import torch

    import pdeops
    from pdeops.solvers import Diffusion, Multigrid, cg

    grid = pdeops.Grid((n + 2, n + 2))
    k, b = (torch.ones(m, m, dtype=torch.float64) for m in (n + 2, n))

    def solve() -> None:
        A = Diffusion(k, grid)
        assert cg(A, b, M=Multigrid(A), rtol=1e-10).converged

    return solve


def navier_stokes(n: int, steps: int) -> Call:
    """Steps of RK4-CN from a random vorticity with waves up to 8."""
    import torch

    import pdeops
    from pdeops.solvers import RK4CN, NavierStokes

    grid = pdeops.Grid((n, n), boundary="periodic")
    noise = torch.randn(1, 1, n, n, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft2(noise)
    k = torch.fft.fftfreq(n, 1 / n).abs()
    spectrum[..., (k > 8)[:, None] | (k > 8)[None, : n // 2 + 1]] = 0
    spectrum[..., 0, 0] = 0
    w = torch.fft.irfft2(spectrum, s=(n, n))
    equation = NavierStokes(grid, 1e-3)
    start = equation.encode(w / w.std())
    stepper = RK4CN(equation, start)

    def march() -> Any:
        w_hat = start.clone()
        for i in range(steps):
            stepper.step(w_hat, 1e-3 * i, 1e-3)
        return equation.decode(w_hat)

    return march


WORKLOADS: dict[str, Callable[[], Call]] = {
    "training step mgno_darcy65": lambda: training_step("mgno_darcy65", 65),
    "training step fno_darcy65": lambda: training_step("fno_darcy65", 65),
    "loading, one epoch": lambda: loading_epoch(512, 32, 128),
    "poisson 511 x 511": lambda: poisson(511),
    "navier-stokes 128 x 128, 20 steps": lambda: navier_stokes(128, 20),
}


def load_timing() -> Any:
    """`pdeops/compare/timing.py` of this file's checkout; the other one may lack it."""
    path = Path(__file__).resolve().parents[1] / "pdeops" / "compare" / "timing.py"
    spec = importlib.util.spec_from_file_location("timing", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["timing"] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    checkout, threads = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    sys.path[:] = [str(checkout), *(p for p in sys.path if Path(p).resolve() != HERE)]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the output of packages goes to standard error
    import torch

    import pdeops

    found = Path(pdeops.__file__).resolve().parents[1]
    if found != checkout:
        raise ImportError(f"pdeops was imported from {found}; expected the checkout {checkout}.")
    torch.set_num_threads(threads)
    timing = load_timing()
    calls: dict[str, Call] = {}
    for line in sys.stdin:
        verb, _, name = line.strip().partition(" ")
        try:
            result = answer(verb, name, calls, timing)
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=answers, flush=True)


def answer(verb: str, name: str, calls: dict[str, Call], timing: Any) -> dict[str, Any]:
    """Carry out one request; `calls` holds the workloads that are set up."""
    if verb == "setup":
        calls[name] = WORKLOADS[name]()
    elif verb == "call":
        watch = timing.Stopwatch()
        watch(calls[name])
        return {"wall": watch.wall["call"][0], "cpu": watch.cpu["call"][0]}
    else:
        del calls[name]
        gc.collect()
    return {}


HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    main()
