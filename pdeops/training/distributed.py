"""Training on several processes: torchrun's group, slices of a global batch, sums over ranks.

Consecutive ranks can share samples: each then computes a part of the same fields, and the slices of
a batch are counted over such teams. Without a group, every function acts as rank 0 of 1.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank() -> int:
    """The number of this process in the group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes in the group."""
    return dist.get_world_size() if dist.is_initialized() else 1


# The ranks with the same samples, of which this process is one; None if each has its own.
_team: dist.ProcessGroup | None = None


def team() -> dist.ProcessGroup | None:
    """The ranks with the same samples as this one; None if there are no others."""
    return _team


def team_size() -> int:
    """Number of ranks with the same samples."""
    return 1 if _team is None else dist.get_world_size(_team)


def num_teams() -> int:
    """Number of slices of a batch."""
    return world_size() // team_size()


def team_number() -> int:
    """The number of this rank's slice of a batch."""
    return rank() // team_size()


def is_main() -> bool:
    """True in the one process that writes files and logs."""
    return rank() == 0


@contextmanager
def process_group(device: str | torch.device = "cpu", *, share: int = 1) -> Iterator[torch.device]:
    """Joins torchrun's group for the block; yields the device of this process.

    Rank and size are torchrun's RANK and WORLD_SIZE; LOCAL_RANK only selects the GPU of this
    machine. The backend is nccl on GPUs, gloo otherwise. Without torchrun there is no group, and
    the device is the given one.

    Args:
        share: number of consecutive ranks with the same samples; without effect on one process.

    Raises:
        ValueError: `share` does not divide the number of processes.
    """
    place = torch.device(device)
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield place
        return
    # torch.optim imports torch._dynamo when an optimizer is built. If a group exists at that time,
    # torch._dynamo keeps a reference to it; its gloo threads then outlive the group and may abort
    # the process at exit (torch 2.13). Hence the import before the group is created.
    import_module("torch._dynamo")
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
        dist.init_process_group("nccl", device_id=place)
    else:
        dist.init_process_group("gloo")
    try:
        with teams(share):
            yield place
    finally:
        _forget_mesh()
        dist.destroy_process_group()


# The mesh of all ranks, over which weights are divided; made at its first use.
_mesh: Any = None


def mesh(device: torch.device) -> Any:
    """All ranks as a torch DeviceMesh with one axis."""
    global _mesh
    if _mesh is None:
        from torch.distributed.device_mesh import init_device_mesh

        _mesh = init_device_mesh(device.type, (world_size(),))
    return _mesh


def _forget_mesh() -> None:
    """Remove the group from the mesh. torch's caches of DTensor keep the mesh to the end of the
    process, and a gloo group that lives so long may abort it (see `process_group`)."""
    global _mesh
    getattr(_mesh, "_pg_registry", {}).clear()  # torch 2.13; earlier a mesh knows names only
    _mesh = None


@contextmanager
def teams(share: int) -> Iterator[None]:
    """Inside the block, `share` consecutive ranks have the same samples."""
    global _team
    size = world_size()
    if share == 1 or size == 1:
        yield
        return
    if size % share:
        fitting = [p for p in range(1, size + 1) if size % p == 0]
        raise ValueError(
            f"{share} processes are to share each sample (training.slabs), which does not divide "
            f"the {size} processes. Start a multiple of {share}, or let "
            f"{', '.join(map(str, fitting))} share."
        )
    groups = [dist.new_group(list(range(r, r + share))) for r in range(0, size, share)]
    _team = groups[rank() // share]
    try:
        yield
    finally:
        _team = None


def share_start(model: nn.Module) -> None:
    """Give every rank the weights and buffers that rank 0 starts from."""
    if world_size() > 1:
        for value in model.state_dict().values():
            if isinstance(value, Tensor):
                value.copy_(from_main(value if is_main() else None))


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its sum over ranks; one that is None on all ranks stays None.

    After backward, one flat vector per dtype is exchanged. Unlike DistributedDataParallel, which
    hooks into `forward`, this does not change the model: the objective may call any of its methods
    repeatedly or use a part of the weights, and complex parameters are safe. DDP would overlap the
    exchange with the backward pass, which is faster only for larger models.
    """
    if world_size() == 1:
        return
    for dtype in dict.fromkeys(p.dtype for p in parameters):
        group = [p for p in parameters if p.dtype == dtype]
        found = torch.tensor([p.grad is not None for p in group], device=group[0].device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in group]
        flat = torch.cat([_real(g).reshape(-1) for g in gradients])
        flat = torch.cat([flat, found.to(flat.dtype)])
        dist.all_reduce(flat)
        sums = flat.split([_real(g).numel() for g in gradients] + [len(group)])
        for p, gradient, total, count in zip(
            group, gradients, sums[:-1], sums[-1].tolist(), strict=True
        ):
            if count > 0:
                _real(gradient).copy_(total.view(_real(gradient).shape))
                p.grad = gradient


def _real(tensor: Tensor) -> Tensor:
    """A real view of a tensor, with complex numbers as pairs."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def my_slice(num_samples: int) -> slice:
    """This rank's slice of num_samples: contiguous, equal in size up to one, possibly empty. Ranks
    that share samples have the same slice."""
    r, size = team_number(), num_teams()
    return slice(r * num_samples // size, (r + 1) * num_samples // size)


def all_reduce_sum(values: Sequence[float], device: torch.device) -> list[float]:
    """Sums of each value over all ranks, in float64."""
    if world_size() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.tolist()


def sum_over_samples(values: Sequence[float], device: torch.device) -> list[float]:
    """Sums over all samples, in float64, of values that each rank has summed over `my_slice`: the
    samples that the ranks of a team share count once."""
    return [value / team_size() for value in all_reduce_sum(values, device)]


def gather(value: Any) -> list[Any]:
    """The values of all ranks, in order, on every rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: Any) -> Any:
    """Rank 0's value on every rank, so that all ranks take the same decision."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]
