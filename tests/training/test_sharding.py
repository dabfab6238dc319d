"""Which models and options can be divided among processes, and which are refused."""

import pytest
import torch
from torch import nn

from pdeops.domain import Grid
from pdeops.models import MODELS
from pdeops.models.operators.fno import FNO
from pdeops.training import TrainingOptions, distributed
from pdeops.training.learner import Learner
from pdeops.training.optim import LBFGS, Constant
from pdeops.training.sharding import require_divisible


def test_complex_parameters_are_refused(job):
    require_divisible(job.RealNet())
    with pytest.raises(ValueError, match=r"phase is torch\.complex64\. Store it as real pairs"):
        require_divisible(job.Net())


@pytest.mark.parametrize("name", ["NeuralopFNO", "NeuralopTFNO", "NeuralopUNO"])
def test_networks_of_neuraloperator_are_refused(name):
    model = MODELS[name](1, 1, Grid((16, 16)))
    assert not any(p.is_complex() for p in model.parameters())
    with pytest.raises(ValueError, match="changes what is assigned to it"):
        require_divisible(model)


def test_our_fno_can_be_divided():
    require_divisible(FNO(1, 1, Grid((8, 8)), n_modes=(4, 4)))


def test_an_optimizer_of_whole_weights_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="LBFGS needs all weights in one vector"):
        Learner(
            nn.Linear(2, 2),
            lambda model, batch: torch.zeros(()),
            options=TrainingOptions(shard=True),
            optimizer=LBFGS(),
            schedule=Constant(),
            total_steps=1,
            device=torch.device("cpu"),
        )


@pytest.mark.parametrize("divided", [{"shard": True}, {"slabs": 2}])
def test_compilation_is_refused(divided):
    with pytest.raises(ValueError, match="compile must be false with shard or slabs"):
        TrainingOptions(compile=True, **divided)


def test_without_a_group_options_have_no_effect(job, tmp_path):
    trainer = job.divided_trainer(tmp_path)
    assert all(type(p) is nn.Parameter for p in trainer.model.parameters())
    assert trainer.fit(until=1).epochs == 1
