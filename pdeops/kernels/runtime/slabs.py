"""Fields that several processes share: each has a slab, equal rows of the first axis of space.

Outside the operations here, tensors are whole and equal on all processes. `take` and `gather` pass
to slabs and back, and their gradients follow the same rule: the gradient of a whole tensor is whole
and equal on all processes. Weights that act on slabs are whole; the gradient that a process has of
them is the part of its slab, and the sum over processes is the gradient.

`to_modes` and `to_rows` are the transposition of a distributed Fourier transform (slab
decomposition, as in FFTW's MPI transforms): from all modes of some rows to all rows of some modes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

# Axes: b batch, x rows of this process, X rows of all, r real and imaginary part, k modes of the
# other axes, m those of this process, c channel.


class Slabs:
    """The processes that share fields, in the order of their slabs.

    Attributes:
        size: number of processes.
        rank: number of this process among them.
        num_bytes: bytes that this process has sent to others, in forward and backward passes.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        """Args:
        group: the processes; None for all of torch.distributed.
        """
        self.group = group
        self.size, self.rank = dist.get_world_size(group), dist.get_rank(group)
        self.num_bytes = 0

    def rows(self, num_nodes: int, period: int) -> list[slice]:
        """The rows of each process: those of the `num_nodes` rows of an axis in its part of the
        period, which is cut into equal parts.

        Raises:
            ValueError: the number of processes does not divide the period, or a part holds no node.
        """
        fitting = [
            p for p in range(1, period + 1) if period % p == 0 and fits(num_nodes, period, p)
        ]
        if self.size not in fitting:
            raise ValueError(
                f"{self.size} processes cannot share fields with {num_nodes} nodes along their "
                f"first axis, in a period of {period} with the padding: equal slabs need a divisor "
                f"of {period}, and a node in each. Use one of {', '.join(map(str, fitting))}."
            )
        part = period // self.size
        return [slice(r * part, min((r + 1) * part, num_nodes)) for r in range(self.size)]

    def take(self, u: Tensor, rows: Sequence[slice], dim: int) -> Tensor:
        """The rows of this process along a dimension of a whole tensor."""
        taken: Tensor = _Take.apply(u, self, rows, dim)
        return taken

    def gather(self, u: Tensor, rows: Sequence[slice], dim: int) -> Tensor:
        """The whole tensor from the rows of all processes along a dimension."""
        whole: Tensor = _Gather.apply(u, self, rows, dim)
        return whole

    def modes(self, num_modes: int) -> list[slice]:
        """The modes of each process: contiguous, equal in number up to one, possibly none."""
        ends = [q * num_modes // self.size for q in range(self.size + 1)]
        return [slice(*pair) for pair in pairwise(ends)]

    def to_modes(self, h: Float[Tensor, "b x r k c"]) -> Float[Tensor, "b X r m c"]:
        """All rows of this process's modes, from all modes of its rows."""
        transposed: Tensor = _ToModes.apply(h, self)
        return transposed

    def to_rows(self, h: Float[Tensor, "b X r m c"], num_modes: int) -> Float[Tensor, "b x r k c"]:
        """All modes of this process's rows; the inverse of `to_modes`, and its adjoint."""
        transposed: Tensor = _ToRows.apply(h, self, num_modes)
        return transposed

    def _exchanged(self, parts: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """`sent[q]` entries of the first axis to process q, `received[q]` from it."""
        out = parts.new_empty(sum(received), *parts.shape[1:])
        dist.all_to_all_single(out, parts.contiguous(), received, sent, group=self.group)
        others = len(parts) - sent[self.rank]
        self.num_bytes += others * parts[0:1].nbytes if len(parts) else 0
        return out


def fits(num_nodes: int, period: int, num_processes: int) -> bool:
    """Whether every part of the period holds a node."""
    return (num_processes - 1) * (period // num_processes) < num_nodes


class _Take(Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, slabs: Slabs, rows: Sequence[slice], dim: int) -> Tensor:
        ctx.arguments = slabs, rows, dim
        return _narrow(u, rows[slabs.rank], dim)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        return _Gather.apply(g, *ctx.arguments), None, None, None


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, slabs: Slabs, rows: Sequence[slice], dim: int) -> Tensor:
        ctx.arguments = slabs, rows, dim
        mine = u.movedim(dim, 0).contiguous()
        counts = [r.stop - r.start for r in rows]
        slabs.num_bytes += mine.nbytes * (slabs.size - 1)
        parts = [mine.new_empty(n, *mine.shape[1:]) for n in counts]
        if len(set(counts)) == 1:
            dist.all_gather(parts, mine, group=slabs.group)
        else:  # only the last process has fewer, as the padding is its part
            padded = mine.new_zeros(max(counts), *mine.shape[1:])
            padded[: len(mine)] = mine
            whole = [torch.empty_like(padded) for _ in counts]
            dist.all_gather(whole, padded, group=slabs.group)
            parts = [part[:n] for part, n in zip(whole, counts, strict=True)]
        return torch.cat(parts).movedim(0, dim)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        return _Take.apply(g, *ctx.arguments), None, None, None


class _ToModes(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, slabs: Slabs) -> Tensor:
        ctx.slabs, ctx.num_modes = slabs, h.shape[3]
        sent = [m.stop - m.start for m in slabs.modes(h.shape[3])]
        mine = sent[slabs.rank]
        parts = slabs._exchanged(h.movedim(3, 0), sent, [mine] * slabs.size)
        b, x, r, _, c = h.shape
        h = parts.view(slabs.size, mine, b, x, r, c).permute(2, 0, 3, 4, 1, 5)
        return h.reshape(b, slabs.size * x, r, mine, c)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        return _ToRows.apply(g, ctx.slabs, ctx.num_modes), None


class _ToRows(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, slabs: Slabs, num_modes: int) -> Tensor:
        ctx.slabs = slabs
        received = [m.stop - m.start for m in slabs.modes(num_modes)]
        mine = received[slabs.rank]
        parts = h.unflatten(1, (slabs.size, -1)).permute(1, 4, 0, 2, 3, 5).flatten(0, 1)
        return slabs._exchanged(parts, [mine] * slabs.size, received).movedim(0, 3)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        return _ToModes.apply(g, ctx.slabs), None, None


def _narrow(u: Tensor, rows: slice, dim: int) -> Tensor:
    return u.narrow(dim, rows.start, rows.stop - rows.start)
