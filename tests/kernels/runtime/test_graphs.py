"""Capture of a call as a CUDA graph, with a stand-in for torch.cuda."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from pdeops.kernels.runtime.graphs import WARM_UP, Recorder, graphed

GPU = torch.device("cuda")


class Recorded:
    """The interface of torch.cuda; records what is called."""

    def __init__(self):
        self.calls, self.pools = [], []

    def Stream(self):
        return SimpleNamespace(wait_stream=lambda other: self.calls.append("wait"))

    current_stream = Stream

    def set_stream(self, stream):
        self.calls.append("set stream")

    def graph_pool_handle(self):
        self.pools.append(len(self.pools))
        return self.pools[-1]

    @contextmanager
    def _within(self, name):
        self.calls.append(f"begin {name}")
        yield
        self.calls.append(f"end {name}")

    def device(self, device):
        return self._within("device")

    def stream(self, stream):
        return self._within("stream")

    def graph(self, graph, pool):
        return self._within(f"graph in {pool}")

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: self.calls.append("replay"))


def test_a_graph_is_captured_after_calls_on_another_stream_and_replayed():
    cuda = Recorded()
    replay = graphed(lambda: cuda.calls.append("call"), GPU, cuda=cuda)
    warm_up = ["wait", "begin stream", *["call"] * WARM_UP, "end stream", "wait"]
    captured = ["begin graph in 0", "call", "end graph in 0"]
    device = ["begin device"], ["end device"]
    assert cuda.calls == [*device[0], *warm_up, *device[1], *device[0], *captured, *device[1]]
    replay()
    assert cuda.calls[-1] == "replay"


def test_graphs_of_a_recorder_share_memory_and_those_of_two_do_not():
    cuda = Recorded()
    first, second = Recorder(GPU, cuda), Recorder(GPU, cuda)
    for record in (first, second, first):
        record(lambda: None)
    begun = [call for call in cuda.calls if call.startswith("begin graph")]
    assert begun == ["begin graph in 0", "begin graph in 1", "begin graph in 0"]


def test_after_an_error_the_stream_is_that_before():
    def refused():
        raise RuntimeError("operation not permitted when stream is capturing")

    cuda = Recorded()
    with pytest.raises(RuntimeError, match="not permitted"):
        Recorder(GPU, cuda)(refused)
    assert cuda.calls[-1] == "set stream"


def test_without_a_gpu_the_call_itself_is_repeated():
    calls = []
    repeat = graphed(lambda: calls.append(1), torch.device("cpu"))
    repeat()
    assert calls == [1]
