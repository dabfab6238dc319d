"""A small network on the graph of a matrix, in compiled loops (numba), in single precision.

The network is `nn.matrix_graph.GraphNetwork`. Channels are padded to multiples of CHANNELS by zero
weights, because loops of constant length become vector instructions.
"""

import numpy as np

from ..runtime.jit import jit
from .cpu import precedes
from .limits import CHANNELS


@jit
def features(starts, columns, size, out):
    """Σ_j |â_ij|, Σ_j â_ij², max_j |â_ij| and the number of entries, off the diagonal."""
    for i in range(len(out)):
        total = square = largest = np.float32(0)
        for p in range(starts[i], starts[i + 1]):
            total += size[p]
            square += size[p] * size[p]
            largest = max(largest, size[p])
        out[i, 0], out[i, 1], out[i, 2] = total, square, largest
        out[i, 3] = starts[i + 1] - starts[i] - 1


@jit
def affine(x, weight, bias, out):
    """x W + b for each row of x, with as many channels of x as W has rows. A BLAS would start
    threads, which take longer to meet than this product."""
    for i in range(len(x)):
        for first in range(0, out.shape[1], CHANNELS):
            y, b = out[i, first:], bias[first:]
            for k in range(CHANNELS):
                y[k] = b[k]
            for f in range(len(weight)):
                w, value = weight[f, first:], x[i, f]
                for k in range(CHANNELS):
                    y[k] += value * w[k]


@jit
def received(starts, columns, size, logs, here, there, edge, out):
    """Σ_j |â_ij| relu(here_i + there_j + edge_0 |â_ij| + edge_1 log|â_ij|) for each row; `size` is
    0 on the diagonal."""
    total = np.empty(CHANNELS, np.float32)
    for i in range(len(out)):
        for first in range(0, out.shape[1], CHANNELS):
            h, w, v = here[i, first:], edge[0, first:], edge[1, first:]
            total[:] = 0
            for p in range(starts[i], starts[i + 1]):
                t, a, b = there[columns[p], first:], size[p], logs[p]
                for k in range(CHANNELS):
                    total[k] += a * max(h[k] + t[k] + w[k] * a + v[k] * b, np.float32(0))
            out[i, first : first + CHANNELS] = total


@jit
def on_edges(starts, columns, size, logs, here, there, edge, head, key, out):
    """Σ_k head_k relu(here_i + there_j + edge_0 |â_ij| + edge_1 log|â_ij|)_k for each entry whose
    column comes before its row; 0 for the others."""
    total = np.empty(CHANNELS, np.float32)
    for i in range(len(here)):
        for p in range(starts[i], starts[i + 1]):
            j, value = columns[p], np.float32(0)
            if precedes(key, j, i):
                a, b = size[p], logs[p]
                for first in range(0, here.shape[1], CHANNELS):
                    h, t = here[i, first:], there[j, first:]
                    w, v, u = edge[0, first:], edge[1, first:], head[first:]
                    for k in range(CHANNELS):
                        total[k] = u[k] * max(h[k] + t[k] + w[k] * a + v[k] * b, np.float32(0))
                    for k in range(CHANNELS):
                        value += total[k]
            out[p] = value
