"""A sequence of operations of a GPU as one CUDA graph, which is launched at once."""

from collections.abc import Callable
from typing import Any

import torch

WARM_UP = 3  # calls before the capture: they compile kernels, choose tiles and make constants


def graphed(
    call: Callable[[], object], device: torch.device, *, cuda: Any = torch.cuda
) -> Callable[[], object]:
    """A function that repeats what `call` does on the device, as one CUDA graph; on devices other
    than GPUs `call` itself.

    `call` works in place on tensors that outlive it, reads no number from the device, and may be
    repeated: it is called before the capture.

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
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            call()
    return graph.replay
