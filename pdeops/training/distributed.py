"""Several processes as one: the group that torchrun starts, slices of a global batch, sums over
ranks.

Every function also works without a group, as rank 0 of 1.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset, Subset


def rank() -> int:
    """This process's number in the group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes in the group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """True in the one process that writes files and talks."""
    return rank() == 0


@contextmanager
def process_group(device: str | torch.device = "cpu") -> Iterator[torch.device]:
    """The process's device inside torchrun's group; without torchrun, the device as given.

    Rank and size come from torchrun's RANK and WORLD_SIZE; LOCAL_RANK chooses the GPU of this
    machine and nothing else. The backend is nccl on GPUs, gloo otherwise. The group ends with the
    block.
    """
    place = torch.device(device)
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield place
        return
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
        dist.init_process_group("nccl", device_id=place)
    else:
        dist.init_process_group("gloo")
    try:
        yield place
    finally:
        dist.destroy_process_group()


def wrap(model: nn.Module, device: torch.device) -> nn.Module:
    """The model whose backward pass averages gradients over ranks; the model itself for one
    process.

    All ranks start from rank 0's weights. Parameters must be real (store complex ones as real
    pairs: the imaginary part of a complex gradient is not safe there) and all take part in the
    objective.
    """
    if world_size() == 1:
        return model
    for name, p in model.named_parameters():
        if p.is_complex():
            raise ValueError(
                f"Parameter {name} is complex; several processes need real parameters. Store it as "
                f"real pairs and use torch.view_as_complex in forward."
            )
    on_gpu = [device] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=on_gpu, broadcast_buffers=False)


def no_sync(model: nn.Module) -> AbstractContextManager[None]:
    """A block whose backward passes only accumulate, without talking to other ranks."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


def my_slice(num_samples: int) -> slice:
    """This rank's share of num_samples: contiguous, in order of rank, even to one, maybe empty."""
    r, size = rank(), world_size()
    return slice(r * num_samples // size, (r + 1) * num_samples // size)


def shard(dataset: Dataset) -> Subset:
    """The samples of a dataset that this rank evaluates; over all ranks, each sample once.

    Combine results by sums (`all_reduce_sum`, or an accumulator with its own all_reduce), not by
    means: shards may differ in length.
    """
    part = my_slice(len(dataset))  # type: ignore[arg-type]
    return Subset(dataset, range(part.start, part.stop))


def all_reduce_sum(values: Sequence[float], device: torch.device) -> list[float]:
    """Sums of each value over all ranks, in float64."""
    if world_size() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.tolist()


def gather(value: Any) -> list[Any]:
    """The values of all ranks, in order, on every rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: Any) -> Any:
    """Rank 0's value on every rank, so that all take the same decision."""
    return gather(value)[0]
