"""A sequence of operations of a GPU as one CUDA graph, which is launched at once."""

from collections.abc import Callable
from typing import Any

import torch

Call = Callable[[], object]

WARM_UP = 3  # calls before the capture: they compile kernels, choose tiles and make constants


class Recorder:
    """A call -> its CUDA graph; `replay` repeats what the call does on the device.

    The call was made before, because kernels cannot be compiled while it is recorded. It works on
    tensors that outlive the graph, which contains their addresses, and reads no number from the
    device. All graphs of one recorder use the same memory for their temporary fields, so they must
    not run at the same time.

    Args:
        device: a GPU.
        cuda: the interface of `torch.cuda`.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        self.device, self._cuda = device, cuda
        self.pool = cuda.graph_pool_handle()

    def __call__(self, call: Call) -> Call:
        """The replay of a call.

        Raises:
            RuntimeError: the call does what cannot be recorded, such as to read a number.
        """
        cuda = self._cuda
        with cuda.device(self.device):
            graph, stream = cuda.CUDAGraph(), cuda.current_stream()
            try:
                with cuda.graph(graph, pool=self.pool):
                    call()
            except RuntimeError:
                cuda.set_stream(stream)  # after an error torch stays in the stream of the record
                raise
        replay: Call = graph.replay
        return replay


def graphed(call: Call, device: torch.device, *, cuda: Any = torch.cuda) -> Call:
    """A function that repeats what `call` does on the device, as one CUDA graph; on devices other
    than GPUs `call` itself.

    `call` is as in `Recorder`, and may be repeated: it is called before the capture.

    Args:
        cuda: the interface of `torch.cuda`.
    """
    if device.type != "cuda":
        return call
    with cuda.device(device):
        stream = cuda.Stream()
        stream.wait_stream(cuda.current_stream())
        with cuda.stream(stream):
            for _ in range(WARM_UP):
                call()
        cuda.current_stream().wait_stream(stream)
    return Recorder(device, cuda)(call)
