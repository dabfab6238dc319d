"""A run without training: its operator solves the problem, with an error of known size."""

from pathlib import Path

import torch
from torch import nn

from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer
from pdeops.tasks import load_recipe
from pdeops.tasks.supervised import Run


class Predicts(nn.Module):
    """Predicts `factor` times the solution of the problem, and a ramp."""

    def __init__(self, problem, factor, ramp):
        super().__init__()
        self.problem, self.factor, self.ramp = problem, factor, ramp
        self.parameter = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        grid = self.problem.grid(x.shape[2:])
        u = torch.stack([self.problem.solve(one.double(), grid).x for one in x])
        wave = torch.sin(3 * grid.nodes()[0]) * u.std()
        return (self.factor * u + self.ramp * wave).float()[:, None]


def run_of(problem, factor=0.9, ramp=0.05, shape=(17, 17)):
    """A run whose operator is wrong by a known amount."""
    one = Normalizer.identity(1)
    operator = Operator(Predicts(problem, factor, ramp), one, one)
    grid = problem.grid(shape)
    recipe = load_recipe("fno_darcy65")
    return Run(Path("runs/stand_in"), recipe, operator, grid, problem.spec(grid, 0, 1), 1)
