"""A small but complete training job, shared by the tests; as a script, the job of a subprocess.

The model has a spectral layer with real-pair weights and dropout, the dataset changes with the
epoch, and the options turn on all that carries state: EMA, clipping, accumulation, OneCycle. On
several processes, weights or fields can be divided among them.
"""

import argparse
import gc
import os
import signal
import socket
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from pdeops.batch import Batch
from pdeops.domain import Grid
from pdeops.kernels.runtime.slabs import Slabs
from pdeops.models.operators.fno import FNO
from pdeops.nn.operator import Operator
from pdeops.nn.slabs import split
from pdeops.normalizer import Normalizer
from pdeops.training import Trainer, TrainingOptions, checkpoint, distributed
from pdeops.training.optim import AdamW, OneCycle

NUM_SAMPLES, BATCH, EPOCHS = 27, 5, 4  # six steps per epoch, the last of two samples
OPTIONS = {"epochs": EPOCHS, "batch_size": BATCH, "accumulate": 2, "clip": 0.5, "ema": 0.9}


class Spectral(nn.Module):
    """Multiplies the lowest waves of a field by complex weights, stored as real pairs."""

    gathered_for = ()  # a group of its own where weights are divided

    def __init__(self, channels, modes, generator):
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(channels, channels, modes, 2, generator=generator) / channels
        )

    def forward(self, u):
        with torch.autocast(u.device.type, enabled=False):
            u_hat = torch.fft.rfft(u.to(self.weight.dtype))
            weight = torch.view_as_complex(self.weight)
            v_hat = torch.einsum("bix,iox->box", u_hat[..., : weight.shape[-1]], weight)
            return torch.fft.irfft(v_hat, n=u.shape[-1])


class Net(nn.Module):
    """Pointwise lift, spectral layer with bypass, dropout, projection, a factor on four waves.

    That factor is a complex parameter, which our own layers avoid but a user's may have.
    """

    def __init__(self, seed=0, dropout=0.2):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.lift, self.bypass, self.project = (
                nn.Conv1d(a, b, 1) for a, b in ((1, 6), (6, 6), (6, 1))
            )
        self.spectral = Spectral(6, 5, generator)
        self.dropout = nn.Dropout(dropout)
        self.phase = nn.Parameter(torch.ones(4, dtype=torch.complex64))
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x):
        u = self.lift(x)
        u = torch.nn.functional.gelu(self.spectral(u) + self.bypass(u))
        waves = torch.fft.rfft(self.project(self.dropout(u)).to(self.unused.dtype))
        waves = torch.cat([waves[..., :1], waves[..., 1:5] * self.phase, waves[..., 5:]], -1)
        return torch.fft.irfft(waves, n=x.shape[-1])


class RealNet(Net):
    """`Net` with its factor as real pairs."""

    def __init__(self, seed=0, dropout=0.2):
        super().__init__(seed, dropout)
        pairs = torch.view_as_real(self.phase.detach()).clone()
        del self.phase
        self.pairs = nn.Parameter(pairs)

    @property
    def phase(self):
        return torch.view_as_complex(self.pairs)


def in_double(model):
    """The model in float64 and complex128 (`Module.to` would drop imaginary parts)."""
    model.double()
    model.phase.data = model.phase.data.to(torch.complex128)
    return model


class Fields(Dataset):
    """Smooth periodic fields and their derivative-like images; shifted anew in each epoch."""

    def __init__(self, num_samples=NUM_SAMPLES, seed=1, shift=True):
        generator = torch.Generator().manual_seed(seed)
        u_hat = torch.zeros(num_samples, 1, 9, dtype=torch.complex64)
        u_hat[..., 1:5] = torch.randn(num_samples, 1, 4, generator=generator, dtype=torch.complex64)
        self.x = torch.fft.irfft(u_hat, n=16) * 4
        self.y = torch.fft.irfft(1j * u_hat * torch.arange(9), n=16)
        self.shift, self.epoch, self.epochs_heard = shift, 0, []

    def set_epoch(self, epoch):
        self.epoch = epoch
        self.epochs_heard.append(epoch)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        roll = (7 * self.epoch + i) % 16 if self.shift else 0
        return Batch(input=self.x[i].roll(roll, -1), target=self.y[i].roll(roll, -1))


class Planes(Dataset):
    """Smooth fields on 12 x 6 nodes, and a nonlinear function of them and their shifts."""

    def __init__(self, num_samples=13, seed=1):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(num_samples, 1, 12, 6, generator=generator, dtype=torch.float64)
        self.x = self.x + self.x.roll(1, -1) + self.x.roll(1, -2)
        self.y = self.x * self.x.roll(2, -2)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return Batch(input=self.x[i], target=self.y[i])


def mse(model, batch):
    """The mean squared error of a batch."""
    return (model(batch.input) - batch.target).square().mean()


def rollout(model, batch):
    """Two steps of the model and its derivative: two forward passes, a second-order backward."""
    x = batch.input.clone().requires_grad_()
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    return (model(u) - batch.target).square().mean() + slope.square().mean()


def evaluate_on(dataset):
    """A sample-weighted mean error, summed over ranks."""

    def evaluate(model):
        mine = distributed.my_slice(len(dataset))
        part = [dataset[i] for i in range(mine.start, mine.stop)]
        device = next(model.parameters()).device
        total = 0.0
        for sample in part:
            batch = Batch.collate([sample]).to(device)
            total += mse(model, batch).item()
        total, count = distributed.sum_over_samples([total, float(len(part))], device)
        return {"error": total / count, "samples": count}

    return evaluate


def make_trainer(folder, *, model=None, objective=mse, dataset=None, seed=3, **changes):
    """The job's trainer, with everything on that carries state unless `changes` says otherwise."""
    arguments = {
        "optimizer": AdamW(lr=1e-2, weight_decay=1e-2),
        "schedule": OneCycle(),
        "evaluate": evaluate_on(Fields(7, seed=2, shift=False)),
        "monitor": "error",
        "carry": {"model": "Net", "arguments": {"dropout": 0.2}},
        "device": "cpu",
    }
    arguments |= {k: changes.pop(k) for k in list(changes) if k in arguments}
    return Trainer(
        Net() if model is None else model,
        objective,
        Fields() if dataset is None else dataset,
        options=TrainingOptions(**{**OPTIONS, **changes}),
        folder=Path(folder),
        seed=seed,
        **arguments,
    )


def main():
    """The job of a subprocess: train, die in mid-write, or take 20 steps on two ranks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["train", "die", "ranks"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--names", nargs="+", choices=RANKS)
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    if arguments.what == "ranks":
        return train_on_two(arguments.folder, arguments.names)

    def slow(model, batch):
        print("piece", flush=True)
        time.sleep(arguments.pause)
        return mse(model, batch)

    if arguments.what == "die":
        die_in_mid_write(at=5)
    history = make_trainer(arguments.folder, objective=slow, num_workers=arguments.workers).fit()
    return 130 if history.reason == "interrupted" else 0


def die_in_mid_write(at):
    """From now on, the at-th checkpoint is half written when the process is killed."""
    whole_save, count = torch.save, 0

    def half_save(state, file):
        nonlocal count
        count += 1
        whole_save(state, file)
        if count == at:
            file.flush()
            os.ftruncate(file.fileno(), file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.torch.save = half_save


def train_on_ranks(folder, names):
    """20 steps of each of these rows of `RANKS`, on all processes there are."""
    with distributed.process_group("cpu") as device:
        for name in names:
            with distributed.teams(distributed.world_size() if "slabs" in name else 1):
                trainer = RANKS[name](folder / name, device)
                if trainer.options.shard and distributed.world_size() > 1:
                    parts = [p.to_local().numel() for p in trainer.model.parameters()]
                    assert sum(parts) < 0.6 * sum(p.numel() for p in trainer.model.parameters())
                at_20(trainer)
                trainer.fit()
        del trainer
    gc.collect()
    if Path("/proc/self/task").exists():  # the group has ended: it could abort the process at exit
        threads = {p.read_text().strip() for p in Path("/proc/self/task").glob("*/comm")}
        assert not {name for name in threads if "gloo" in name}, threads


def train_on_two(folder, names):
    """`train_on_ranks` on this process and a copy of it, which need not import again."""
    import torch._dynamo
    import torch.distributed.checkpoint
    import torch.distributed.fsdp  # noqa: F401

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    other = os.fork()
    os.environ["RANK"] = "0" if other else "1"
    train_on_ranks(folder, names)
    return os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) if other else 0


def copied_trainer(folder, device, dtype, num_samples):
    """The trainer of a net that every rank has: in float32, and of rollouts in float64.

    27 = 5 · 5 + 2 and 26 = 5 · 5 + 1 samples leave uneven last batches; where one sample is left,
    rank 0 of 2 has none.
    """
    net = Net(dropout=0.0)
    dataset, scores = Fields(num_samples), Fields(7, seed=2, shift=False)
    for fields in (dataset, scores):
        fields.x, fields.y = fields.x.to(dtype), fields.y.to(dtype)
    return make_trainer(
        folder,
        model=in_double(net) if dtype is torch.float64 else net,
        dataset=dataset,
        objective=mse if dtype is torch.float32 else rollout,
        device=device,
        evaluate=evaluate_on(scores),
    )


def divided_trainer(folder, device="cpu", dtype=torch.float64, **changes):
    """The trainer of a net whose weights are divided among all ranks."""
    fields, scores = Fields(26), Fields(7, seed=2, shift=False)
    for each in (fields, scores):
        each.x, each.y = each.x.to(dtype), each.y.to(dtype)
    changes = {"model": RealNet(dropout=0.0).to(dtype), "shard": True} | changes
    return make_trainer(
        folder, dataset=fields, evaluate=evaluate_on(scores), device=device, **changes
    )


def slabs_trainer(folder, device="cpu", *, modes, **changes):
    """The trainer of an FNO in float64 with dropout; ranks of a team share its fields. For 4 modes
    of 7 rows sums are exchanged, for 10 the modes are transposed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        grid = Grid((12, 6))
        net = FNO(1, 1, grid, n_modes=(modes, 4), hidden_channels=4, n_layers=2, dropout=0.3)
    model = Operator(net, Normalizer.identity(1), Normalizer.identity(1)).double()
    if distributed.team() is not None:
        split(model, Slabs(distributed.team()))
    return make_trainer(
        folder,
        model=model,
        dataset=Planes(),
        evaluate=evaluate_on(Planes(5, seed=2)),
        device=device,
        **{"epochs": 7, "eval_every": 3, "save_every": 7} | changes,
    )


# Jobs without dropout, or where it draws the same on all ranks: samples are divided; weights are
# divided too; fields are; both are.
RANKS = {
    **{
        f"{str(dtype).removeprefix('torch.')}-{n}": partial(
            copied_trainer, dtype=dtype, num_samples=n
        )
        for dtype in (torch.float32, torch.float64)
        for n in (26, 27)
    },
    "sharded float32": partial(divided_trainer, dtype=torch.float32),
    "sharded": divided_trainer,
    "slabs": partial(slabs_trainer, modes=10),
    "slabs and shards": partial(slabs_trainer, modes=4, shard=True),
}


def at_20(trainer):
    """Ask the trainer to stop at step 20, which is in mid-epoch."""
    step = trainer._step

    def counted(batch, num_samples, interrupts):
        interrupts.requested = interrupts.requested or trainer.learner.schedule.last_epoch == 19
        return step(batch, num_samples, interrupts)

    trainer._step = counted


if __name__ == "__main__":
    sys.exit(main())
