"""Where the fields of a data set come from: a file, or memory."""
# Axes: b batch, t time, c channel, *space nodes.

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import Batch
from .spec import ROLES, check_times


class Source(ABC):
    """Fields of samples by their number, each role with one axis of channels.

    Attributes:
        names: role -> names of its channels; a role without channels is not there.
        times: of the frames of what has the axis time.
        evolving: roles whose fields have the axis time; "state" always, "input" and "target" in
            files that store a whole trajectory as the one or the other.
        vectors: names of the fields with several channels.
    """

    names: Mapping[str, tuple[str, ...]]
    times: tuple[float, ...] = ()
    evolving: frozenset[str] = frozenset()
    vectors: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples; with states, of trajectories."""

    @abstractmethod
    def fields(
        self, role: str, indices: np.ndarray, dtype: torch.dtype
    ) -> Float[Tensor, "b *t_c_space"]:
        """The channels of a role of the given samples, contiguous and free to change; with the
        axis time where the role has it."""

    @abstractmethod
    def windows(
        self, indices: np.ndarray, frames: np.ndarray, n_in: int, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "b n_in c *space"], Float[Tensor, "b n_out c *space"]]:
        """Of the states of samples (b,) the frames (b, n_in + n_out): those of the input and those
        of the target, contiguous and free to change."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Of each channel: shape, axes, dtype and layout of what it is stored in."""

    def others(self, indices: np.ndarray) -> dict[str, Any]:
        """Further members of a batch of these samples, such as positions; none by default."""
        return {}

    @property
    def together(self) -> int:
        """How many neighbours, from a multiple of this number on, are best read in one go."""
        return 1

    def residuals(self) -> np.ndarray | None:
        """The relative residual of each stored solution, where that is known."""
        return None


class MemorySource(Source):
    """Fields in memory, or in a memory-mapped tensor of any dtype and strides.

    Args:
        fields: role -> (n, c, *space), or (n, t, c, *space) for a state and for the roles in
            `evolving`.
        names: role -> names of its channels.
        times: of the frames.
        others: members of the samples' batch besides input and target, such as positions, mask,
            weights and parameters.

    Raises:
        ValueError: the fields, their names and the others do not fit together.
    """

    def __init__(
        self,
        fields: Mapping[str, Tensor],
        names: Mapping[str, Sequence[str]],
        *,
        times: Sequence[float] = (),
        evolving: Sequence[str] = (),
        vectors: Sequence[str] = (),
        others: Batch | None = None,
    ) -> None:
        check_times(times)
        if set(fields) != set(names) or not set(fields) <= set(ROLES) or not fields:
            raise ValueError(
                f"Fields and their names belong to the same roles, of {', '.join(ROLES)}; got "
                f"{list(fields)} and {list(names)}."
            )
        self._fields = dict(fields)
        self._others = Batch() if others is None else others
        self.names = {role: tuple(named) for role, named in names.items()}
        self.times, self.vectors = tuple(times), tuple(vectors)
        self.evolving = frozenset({*evolving, "state"} & set(fields))
        for role in self.evolving:
            if self._fields[role].shape[1] != len(self.times):
                raise ValueError(
                    f"Each frame needs a time: the {role} fields have "
                    f"{self._fields[role].shape[1]} frames, and there are {len(self.times)} times."
                )
        first, *rest = self._fields.values()
        Batch(**{"input": first, **self._others.members()}).check()
        for u in rest:
            Batch(**{"input": first, "target": u, **self._others.members()}).check()

    def __len__(self) -> int:
        return len(next(iter(self._fields.values())))

    def fields(
        self, role: str, indices: np.ndarray, dtype: torch.dtype
    ) -> Float[Tensor, "b *t_c_space"]:
        """The given samples, copied."""
        return self._fields[role][torch.from_numpy(indices)].to(dtype).contiguous()

    def windows(
        self, indices: np.ndarray, frames: np.ndarray, n_in: int, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "b n_in c *space"], Float[Tensor, "b n_out c *space"]]:
        """The given frames, copied."""
        u, rows = self._fields["state"], torch.from_numpy(indices)[:, None]
        first, last = (
            u[rows, torch.from_numpy(part)].to(dtype).contiguous()
            for part in (frames[:, :n_in], frames[:, n_in:])
        )
        return first, last

    def others(self, indices: np.ndarray) -> dict[str, Any]:
        """The further members of these samples."""
        return self._others[torch.from_numpy(indices)].members() if self._others.members() else {}

    def describe(self) -> dict[str, Any]:
        """Of each channel: shape, axes, dtype and layout of the tensor it is part of."""
        described: dict[str, Any] = {}
        for role, u in self._fields.items():
            entry = {
                "shape": list(u.shape),
                "axes": ",".join(
                    ("sample", *(["time"] if role in self.evolving else []), "channel", "...")
                ),
                "dtype": str(u.dtype).removeprefix("torch."),
                "layout": "contiguous" if u.is_contiguous() else "strided",
            }
            described |= dict.fromkeys(self.names[role], entry)
        return described
