"""python -m benchmarks.deepxde step error: DeepXDE's Burgers and Allen-Cahn examples.

`step` times a step of Adam of DeepXDE (PyTorch backend) and of pdeops by turns, for one network,
one set of points and one loss; the losses and their gradients are compared first. DeepXDE takes
derivatives by nested reverse mode, its default, or by forward mode of torch.func, and pdeops by
jets. The rows `compiled` use torch.compile, which refuses nested reverse mode, so that DeepXDE
takes forward mode there.

`error` trains each for the same processor seconds with one thread, in turns of one second, and
compares with the published solutions: both with Adam in float32, and pdeops in float64 with initial
and boundary values that hold exactly and Gauss-Newton (`optim.GaussNewton`). The file keeps one row
for each method and seed; rows that it holds already are not measured again.

It needs DeepXDE: pip install 'pdeops[bench]'.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdeops.compare.tables import write_csv
from pdeops.compare.timing import time_calls
from pdeops.tasks.collocation import ResidualClosure
from pdeops.training.optim import Adam, GaussNewton

from .bench import RESULTS, add_missing, machine
from .deepxde_examples import EXAMPLES, Example, Field, Loss, model

STEPS = 5  # of Adam in one timed call
TURN = 1.0  # processor seconds of one method before the next has its turn
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # of the difference of the gradients


def pair(example: Example, dtype: str, seed: int, **options: Any) -> tuple[Any, Loss]:
    """DeepXDE's model and our loss at the same points with the same weights."""
    theirs = model(example, dtype, seed, **options)
    field = Field(example, exact=example.exact).to(getattr(torch, dtype))
    loss = Loss(field, theirs)
    loss.take_weights(theirs)
    return theirs, loss


def their_step(theirs: Any) -> Callable[[], None]:
    """A step of Adam as `Model.train` takes it."""
    state = theirs.train_state
    return lambda: theirs.train_step(state.X_train, state.y_train, state.train_aux_vars)


def their_compiled_step(theirs: Any) -> Callable[[], None]:
    """The same with outputs and losses compiled."""
    losses, points = torch.compile(theirs.outputs_losses_train), theirs.train_state.X_train
    x = torch.from_numpy(points)

    def step() -> None:
        loss = losses(x, None, None)[1].sum()
        theirs.opt.zero_grad()
        loss.backward()
        theirs.opt.step()

    return step


def our_step(loss: Callable[[], Tensor], field: Field) -> Callable[[], None]:
    """A step of Adam of pdeops."""
    optimizer = Adam().build(field.parameters())

    def step() -> None:
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def difference(theirs: Any, loss: Loss) -> float:
    """The relative difference of the gradients of the two losses."""
    ours = torch.autograd.grad(loss(), list(loss.field.parameters()))
    x = torch.from_numpy(theirs.train_state.X_train)
    value = theirs.outputs_losses_train(x, None, None)[1].sum()
    parameters = [p for layer in theirs.net.linears for p in (layer.weight, layer.bias)]
    g = torch.cat([v.flatten() for v in torch.autograd.grad(value, parameters)])
    return ((torch.cat([v.flatten() for v in ours]) - g).norm() / g.norm()).item()


def step_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """One row for each example, dtype and mode of DeepXDE, with one thread.

    Raises:
        RuntimeError: the gradients of the two sides differ.
    """
    for name, example in EXAMPLES.items():
        for dtype in ("float32", "float64"):
            for mode in ("reverse", "forward", "compiled"):
                theirs, loss = pair(
                    example, dtype, 1, autodiff="reverse" if mode == "reverse" else "forward"
                )
                apart = difference(theirs, loss)
                if not apart <= TOLERANCE[dtype]:
                    raise RuntimeError(
                        f"{name}, {dtype}: the gradients differ by {apart:.1e}, more than "
                        f"{TOLERANCE[dtype]:.0e}; the times cannot be compared."
                    )
                if mode == "compiled":
                    sides = {
                        "theirs": their_compiled_step(theirs),
                        "ours": our_step(torch.compile(loss.__call__), loss.field),
                    }
                else:
                    sides = {"theirs": their_step(theirs), "ours": our_step(loss, loss.field)}
                calls = {
                    side: (lambda f=f: [f() for _ in range(STEPS)]) for side, f in sides.items()
                }
                timings = time_calls(calls, repeats=repeats, warm_up=2)
                a, b = timings["theirs"], timings["ours"]
                yield {
                    "example": name,
                    "dtype": dtype,
                    "threads": 1,
                    "deepxde": mode,
                    "deepxde_processor_ms": f"{a.cpu.median / STEPS * 1e3:.2f}",
                    "ours_processor_ms": f"{b.cpu.median / STEPS * 1e3:.2f}",
                    "times_faster_processor": f"{a.cpu.median / b.cpu.median:.2f}",
                    "deepxde_ms": f"{a.wall.median / STEPS * 1e3:.2f}",
                    "ours_ms": f"{b.wall.median / STEPS * 1e3:.2f}",
                    "times_faster": f"{a.wall.median / b.wall.median:.2f}",
                    "difference": f"{apart:.1e}",
                }


def gauss_newton(example: Example, loss: Loss) -> tuple[Field, Callable[[], None]]:
    """A field with exact initial and boundary values, and a step of Levenberg-Marquardt at the
    points of the residual."""
    field = Field(example, exact=True).double()
    field.load_state_dict(loss.field.state_dict())
    positions = torch.cat([loss.points.x, loss.points.t[None]]).double()
    closure, optimizer = ResidualClosure(field, positions), GaussNewton().build(field.parameters())
    closure()  # sets the gradients
    return field, lambda: optimizer.step(closure)


@dataclass
class Training:
    """A method in training.

    Attributes:
        method: its name.
        step: takes one step.
        values: u at the points of the published solution.
        steps, seconds: the steps taken and their processor time.
    """

    method: str
    step: Callable[[], object]
    values: Callable[[], Tensor]
    steps: int = 0
    seconds: float = 0.0

    def until(self, seconds: float) -> None:
        """Take steps until they have used this processor time in all."""
        while self.seconds < seconds:
            start = time.process_time()
            self.step()
            self.seconds += time.process_time() - start
            self.steps += 1


def by_turns(trainings: Sequence[Training], seconds: float) -> None:
    """Train each for these processor seconds, in turns, so that other work on the machine slows
    all of them down alike."""
    turns = math.ceil(seconds / TURN)
    for turn in range(1, turns + 1):
        for training in trainings:
            training.until(seconds * turn / turns)


def measure_errors(
    example: Example, folder: Path, seconds: float, seed: int
) -> list[dict[str, object]]:
    """The cells of every method, after training by turns."""
    x, t, u = example.solution(folder)
    theirs, loss = pair(example, "float32", seed)
    field, newton = gauss_newton(example, loss)
    points = torch.cat([x.T, t[:, None]], 1).float()
    trainings = [
        Training(
            "DeepXDE, Adam, float32",
            their_step(theirs),
            lambda: theirs.outputs(False, points)[:, 0],
        ),
        Training(
            "pdeops, Adam, float32",
            our_step(loss, loss.field),
            lambda: loss.field(x.float(), t.float())[0],
        ),
        Training(
            "pdeops, exact values, Gauss-Newton, float64",
            newton,
            lambda: field(x, t)[0],
        ),
    ]
    by_turns(trainings, seconds)
    return [
        {
            "method": training.method,
            "steps": training.steps,
            "used_s": f"{training.seconds:.2f}",
            "error": f"{(training.values().detach().double() - u).norm() / u.norm():.2e}",
        }
        for training in trainings
    ]


def error_cases(
    names: Sequence[str], folder: Path, seconds: float, seeds: int
) -> Iterator[tuple[dict[str, str], Callable[[], list[dict[str, object]]]]]:
    """Each example and seed, for `add_missing`."""
    for seed in range(1, seeds + 1):
        for name in names:
            key = {"example": name, "processor_s": f"{seconds:g}", "seed": str(seed)}
            yield key, partial(measure_errors, EXAMPLES[name], folder, seconds, seed)


def main() -> None:
    """Write deepxde_step.csv and deepxde_error.csv."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=("step", "error"))
    parser.add_argument("--repeats", type=int, default=15, help="timed calls of each side")
    parser.add_argument("--seconds", type=float, default=20, help="processor time of a training")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each method")
    parser.add_argument(
        "--examples", nargs="+", choices=EXAMPLES, default=list(EXAMPLES), help="of `error`"
    )
    parser.add_argument("--data", type=Path, help="folder of the published solutions, for `error`")
    options = parser.parse_args()
    if "error" in options.parts and options.data is None:
        files = ", ".join(example.file for example in EXAMPLES.values())
        parser.error(
            f"`error` compares with published solutions: give --data, a folder of {files}."
        )
    torch.set_num_threads(1)
    if "step" in options.parts:
        written = []
        for row in step_rows(options.repeats):
            print(*row.values(), sep=" | ", flush=True)
            written.append({**row, **machine()})
            write_csv(RESULTS / "deepxde_step.csv", written)
    if "error" in options.parts:
        cases = error_cases(options.examples, options.data, options.seconds, options.seeds)
        add_missing(RESULTS / "deepxde_error.csv", cases)


if __name__ == "__main__":
    main()
