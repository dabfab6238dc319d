"""Windows of trajectories: selection of input and target frames."""
# Axes: b batch, k frames of a window.

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Window:
    """n_in + n_out frames of a trajectory, `stride` frames apart: n_in input frames, then n_out
    target frames.

    A window can start at every frame from which it fits, so a trajectory of T frames has
    T - (n_in + n_out - 1) stride windows. A stride above 1 gives time steps longer than the stored
    ones.

    Raises:
        ValueError: n_in, n_out or stride is below 1.
    """

    n_in: int = 1
    n_out: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        if min(self.n_in, self.n_out, self.stride) < 1:
            raise ValueError(
                f"A window has at least one input frame and one target frame, and a stride of 1 or "
                f"more; got n_in {self.n_in}, n_out {self.n_out}, stride {self.stride}."
            )

    @classmethod
    def whole(cls, num_frames: int, n_in: int = 1, stride: int = 1) -> "Window":
        """The longest window in a trajectory of `num_frames` frames, with n_in input frames.

        Raises:
            ValueError: no frame is left for the target.
        """
        n_out = (num_frames - 1) // stride + 1 - n_in
        if n_out < 1:
            raise ValueError(
                f"{n_in} input frame(s), {stride} apart, leave no target frame in a trajectory of "
                f"{num_frames} frame(s). Choose fewer input frames or a smaller stride."
            )
        return cls(n_in, n_out, stride)

    @property
    def num_frames(self) -> int:
        """Number of frames in the window."""
        return self.n_in + self.n_out

    @property
    def span(self) -> int:
        """Number of stored frames from the first to the last frame of the window, inclusive."""
        return (self.num_frames - 1) * self.stride + 1

    def num_starts(self, num_frames: int) -> int:
        """Number of windows in a trajectory of `num_frames` frames.

        Raises:
            ValueError: the window is longer than the trajectory.
        """
        if self.span > num_frames:
            raise ValueError(
                f"A window of {self.n_in} input and {self.n_out} target frame(s), {self.stride} "
                f"apart, spans {self.span} frames, but a trajectory has {num_frames}. Choose fewer "
                f"frames or a smaller stride."
            )
        return num_frames - self.span + 1

    def frames(self, starts: Int[np.ndarray, " b"]) -> Int[np.ndarray, "b k"]:
        """Indices of the frames of the windows that begin at these frames."""
        return starts[:, None] + self.stride * np.arange(self.num_frames)
