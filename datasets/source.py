"""Sources of the fields of a data set: the interface, and fields in memory."""
# Axes: b batch, t time, c channel, *space nodes.

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import Batch
from ..domain import Points
from .spec import ROLES, check_times


class Source(ABC):
    """Fields of samples by index; the fields of a role are concatenated along the channel axis.

    Attributes:
        names: role -> names of its channels; roles without channels are absent.
        times: times of the frames of all fields with a time axis.
        evolving: roles whose fields have a time axis: always "state"; "input" or "target" in files
            that store a whole trajectory in this role.
        vectors: names of the fields with several channels.
        parameters: parameters of the equation that the file states, by name: a constant, or an
            array (n,) with one number for each sample.
        counts: number of points of each sample (n,), if samples have points of their own.
    """

    names: Mapping[str, tuple[str, ...]]
    times: tuple[float, ...] = ()
    evolving: frozenset[str] = frozenset()
    vectors: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = MappingProxyType({})
    counts: np.ndarray | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples, or of trajectories if there are states."""

    @abstractmethod
    def fields(
        self, role: str, indices: np.ndarray, dtype: torch.dtype
    ) -> Float[Tensor, "b *t_c_space"]:
        """The channels of a role for the given samples, as a contiguous copy, with a time axis if
        the role has one."""

    @abstractmethod
    def windows(
        self, indices: np.ndarray, frames: np.ndarray, n_in: int, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "b n_in c *space"], Float[Tensor, "b n_out c *space"]]:
        """Input and target frames of the states of samples (b,), selected by `frames` of shape
        (b, n_in + n_out), as contiguous copies."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Shape, axes, dtype and layout of the stored array of each channel."""

    def others(self, indices: np.ndarray) -> dict[str, Any]:
        """Additional members of a batch of these samples, such as positions; by default the
        parameters."""
        return self._parameters(indices)

    def _parameters(self, indices: np.ndarray) -> dict[str, Any]:
        """The parameters that differ between samples, (b, p) in float64, in their order."""
        columns = [p[indices] for p in self.parameters.values() if isinstance(p, np.ndarray)]
        if not columns:
            return {}
        return {"parameters": torch.from_numpy(np.stack(columns, 1).astype(np.float64))}

    def points(self, i: int) -> Points | None:
        """The points of sample i, with weights and cells if they are known; None if samples do not
        have points of their own."""
        return None

    def check(self, samples: np.ndarray) -> None:
        """Raise a ValueError unless the points of these samples are sound, where samples have
        points of their own."""
        return  # most sources have none

    def in_memory(self, kept: np.ndarray, dtype: torch.dtype) -> "Source":
        """The given samples in memory."""
        return MemorySource(
            {role: self.fields(role, kept, dtype) for role in self.names},
            self.names,
            times=self.times,
            evolving=tuple(self.evolving),
            vectors=self.vectors,
            others=Batch(**self.others(kept)),
            parameters={
                name: p[kept] if isinstance(p, np.ndarray) else p
                for name, p in self.parameters.items()
            },
        )

    @property
    def together(self) -> int:
        """Number of consecutive samples, starting at a multiple of it, to read at once."""
        return 1

    def residuals(self) -> np.ndarray | None:
        """The relative residual of each stored solution; None if not known."""
        return None


class MemorySource(Source):
    """Fields in memory, or in a memory-mapped tensor of any dtype and strides.

    Args:
        fields: role -> (n, c, *space), or (n, t, c, *space) for a state and for the roles in
            `evolving`.
        names: role -> names of its channels.
        times: times of the frames.
        others: additional batch members, such as positions, mask, weights and parameters.
        parameters: as in `Source`.

    Raises:
        ValueError: fields, names and additional members are inconsistent.
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
        parameters: Mapping[str, Any] | None = None,
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
        self.parameters = dict(parameters or {})
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
        """The additional members of these samples."""
        return self._others[torch.from_numpy(indices)].members() if self._others.members() else {}

    def describe(self) -> dict[str, Any]:
        """Shape, axes, dtype and layout of the tensor that contains each channel."""
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
