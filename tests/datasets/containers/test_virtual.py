"""Virtual arrays against NumPy: random blocks, samples and frames."""

import numpy as np
import pytest

from pdeops.datasets.containers.memory import MemoryStore
from pdeops.datasets.containers.virtual import Cut, Joined, Shaped, Stacked, VirtualStore

U = np.arange(4 * 5 * 3 * 2 * 2.0).reshape(4, 5, 3, 2, 2)
STORE = MemoryStore({"u": U, "first": -U[:, 0], "a": U[0], "b": U[1], "c": U[2]})

# Virtual array -> its values.
ROWS = [
    (Shaped("u", (None,) * 5), U),
    (Shaped("a", (4, None, None, None, None)), np.broadcast_to(U[0], U.shape)),
    (Shaped("a", (None, 6, None, None, 7, None)),
     np.broadcast_to(U[0][:, None, :, :, None], (5, 6, 3, 2, 7, 2))),
    (Shaped("u", (None, None, None), 2), U.reshape(4, 5, 3, 4)),
    (Shaped("u", (None, 2, None, None), 2), np.repeat(U.reshape(4, 1, 5, 3, 4), 2, 1)),
    (Shaped("u", (None, None, None), 2, order=(3, 1, 0, 2)),
     U.reshape(4, 5, 3, 4)[..., [3, 1, 0, 2]]),
    (Stacked(("a", "b", "c")), U[:3]),
    (Joined("first", "u", 1), np.concatenate([-U[:, :1], U], 1)),
    (Cut("u", (4, 3, 2, 2, 1)), U[:, :3, :2, :, :1]),
]  # fmt: skip


@pytest.mark.parametrize(("virtual", "expected"), ROWS)
def test_blocks_are_those_of_numpy(virtual, expected):
    store, random = VirtualStore(STORE, {"v": virtual}), np.random.default_rng(0)
    assert store.arrays["v"].shape == expected.shape
    for _ in range(60):
        key = []
        for n in expected.shape:
            start, stop = np.sort(random.integers(0, n + 1, 2))
            key.append(slice(int(start), int(stop) + int(random.integers(0, 3))))
        if random.random() < 0.5:
            n = expected.shape[0]
            key[0] = np.sort(random.choice(n, random.integers(1, n + 1), replace=False))
        np.testing.assert_array_equal(store.read("v", tuple(key)), expected[tuple(key)])


@pytest.mark.parametrize(("virtual", "expected"), ROWS)
def test_samples_and_frames_in_any_order(virtual, expected):
    store, random = VirtualStore(STORE, {"v": virtual}), np.random.default_rng(0)
    for size in (0, 1, 5):
        indices = random.integers(0, expected.shape[0], size)
        np.testing.assert_array_equal(store.take("v", 0, indices), expected[indices])
        frames = random.integers(0, expected.shape[1], (size, 2))
        got = store.take_frames("v", (0, 1), indices, frames)
        np.testing.assert_array_equal(got, expected[indices[:, None], frames])


def test_a_stored_array_is_in_memory_where_nothing_is_joined():
    store = VirtualStore(STORE, {str(i): v for i, (v, _) in enumerate(ROWS)})
    held = [store.in_memory(str(i)) is not None for i in range(len(ROWS))]
    assert held == [True] * 3 + [False] * 5 + [True]
