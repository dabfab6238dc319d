"""python -m benchmarks.curriculum: PINNs with and without a curriculum in the speed of convection.

u_t + c u_x = 0 on the circle, u0 = sin x, t <= 1: the PINN of `benchmarks.lagrangian --trained`
(3 x 20 tanh layers, 5 Levenberg-Marquardt steps per epoch, 32 x 24 random points each). With the
curriculum, c rises from 5 in equal steps of at most 5, with as many epochs in all. Errors over all
times, relative in L² as there; median and largest of three seeds. Seconds are processor time of one
training with one thread. Rows that the file holds already are not measured again.
"""

from functools import partial

import torch

from pdeops.models import PINN
from pdeops.solvers import AdvectionDiffusion
from pdeops.tasks.curriculum import Curriculum

from .bench import RESULTS, add_missing, over_seeds
from .lagrangian_problems import CIRCLE, Problem, convection
from .trained_fields import CHANNELS, STEPS, train

SEEDS = range(3)
STEP = 5.0  # of c
RUNS = ((10.0, 12), (30.0, 12), (10.0, 24), (30.0, 24), (30.0, 48))  # c and epochs


def trained(p: Problem, epochs: int, seed: int, *, staged: bool) -> float:
    """The error of a PINN."""
    torch.manual_seed(seed)
    field = PINN(p.equation, p.u0, 1.0, hidden_channels=CHANNELS, num_layers=3)
    curriculum = None
    if staged:
        speeds = [STEP * (k + 1) for k in range(round(p.c / STEP))]
        easier = [AdvectionDiffusion(CIRCLE, [c]) for c in speeds[:-1]]
        parameters = torch.tensor(speeds, dtype=torch.float64)[:, None]
        curriculum = Curriculum([*easier, p.equation], parameters)
    train(field, curriculum=curriculum, epochs=epochs, seed=seed)
    return p.error(p.of_field(field))


def main() -> None:
    """Measure every row and write curriculum.csv."""
    torch.set_num_threads(1)
    problems = {p.c: p for p in convection()}
    cases = []
    for c, epochs in RUNS:
        for method in ("PINN", "PINN, curriculum"):
            key = {"c": f"{c:g}", "steps": str(epochs * STEPS), "method": method}
            solve = partial(trained, problems[c], epochs, staged=method != "PINN")
            cases.append((key, partial(over_seeds, solve, SEEDS)))
    add_missing(RESULTS / "curriculum.csv", cases)


if __name__ == "__main__":
    main()
