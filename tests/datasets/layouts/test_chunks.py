"""Chunked, contiguous and external storage: what is read, and how often."""

import h5py
import numpy as np
import torch

from pdeops.datasets import open_dataset

from . import foreign_files as files
from .foreign_files import SHAPE, bytes_read, place


class TestChunks:
    def test_one_batch_reads_each_chunk_once(self, tmp_path):
        """64 shuffled samples of 8 chunks: as many bytes as the file has, not eight times that."""
        u = np.random.default_rng(0).standard_normal((64, 64, 64)).astype("f4")
        with h5py.File(tmp_path / "a", "w") as file:
            for name in ("coeff", "sol"):
                file.create_dataset(name, data=u, chunks=(8, 64, 64), compression="gzip")
        data = open_dataset(tmp_path / "a")
        data.read([0])
        order = np.random.default_rng(1).permutation(64)
        before = bytes_read()
        batch = data.read(order)
        assert bytes_read() - before < 1.1 * (tmp_path / "a").stat().st_size
        np.testing.assert_array_equal(batch.target[:, 0], u[order])
        before = bytes_read()  # the control: sample by sample every chunk comes again and again
        for i in order:
            data.read([int(i)])
        assert bytes_read() - before > 3 * (tmp_path / "a").stat().st_size

    def test_a_pass_in_order_is_cut_where_chunks_end(self, tmp_path):
        u = place(shape=(23, 5, 7))
        with h5py.File(tmp_path / "a", "w") as file:
            file.create_dataset("coeff", data=u, chunks=(8, 5, 7))
            file["sol"] = u
        data = open_dataset(tmp_path / "a")
        calls = []
        take = data.source.store.take

        def counted(name, axis, indices):
            if name == "coeff":
                calls.append(indices)
            return take(name, axis, indices)

        data.source.store.take = counted
        batches = list(data.batches(5))
        assert [len(b.input) for b in batches] == [5, 5, 5, 5, 3]
        np.testing.assert_array_equal(torch.cat([b.target for b in batches])[:, 0], u)
        assert [(c[0], c[-1]) for c in calls] == [(0, 7), (8, 15), (16, 22)]
        part = data.subset(range(3, 20))
        part.source = data.source
        calls.clear()
        assert torch.equal(
            torch.cat([b.input for b in part.batches(4)]), part.read(range(17)).input
        )
        assert [(c[0], c[-1]) for c in calls[:-1]] == [(3, 7), (8, 15), (16, 19)]

    def test_contiguous_files_are_mapped_and_others_are_not(self, tmp_path):
        files.hdf5(tmp_path / "a", {"coeff": place(), "sol": place()})
        files.mat73(tmp_path / "b", {"coeff": place(), "sol": place()})
        files.hdf5_chunked(tmp_path / "c", {"coeff": place(), "sol": place()})
        mapped = [
            open_dataset(tmp_path / n).source.store.in_memory("sol") is not None for n in "abc"
        ]
        assert mapped == [True, True, False]

    def test_external_storage_is_left_to_hdf5(self, tmp_path):
        with h5py.File(tmp_path / "a", "w") as file:
            for name in ("coeff", "sol"):
                raw = str(tmp_path / f"{name}.raw")
                file.create_dataset(name, SHAPE, "f4", external=[(raw, 0, h5py.h5f.UNLIMITED)])
                file[name][()] = place()
        data = open_dataset(tmp_path / "a")
        np.testing.assert_array_equal(data.read([2, 1]).input[:, 0], place()[[2, 1]])
