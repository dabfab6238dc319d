"""A conversion that cannot be finished leaves nothing behind, and overwrites nothing."""

import os

import h5py
import numpy as np
import pytest

from pdeops.datasets import (
    convert,
    generate,
)
from pdeops.datasets.problems.darcy import Darcy
from pdeops.domain import Grid

from .layouts import foreign_files as files
from .layouts.foreign_files import place


class TestAllOrNothing:
    def test_an_existing_file_is_not_overwritten(self, tmp_path):
        (tmp_path / "o.h5").write_text("precious")
        with pytest.raises(ValueError, match="exists already"):
            convert({"a": place(), "u": place()}, tmp_path / "o.h5", inputs=["a"], targets=["u"])
        assert (tmp_path / "o.h5").read_text() == "precious"

    def test_an_error_half_way_leaves_nothing(self, tmp_path, monkeypatch):
        files.hdf5_chunked(tmp_path / "a", {"a": place(), "u": place()})
        with h5py.File(tmp_path / "a") as file:
            where = file["u"].id.get_chunk_info(3).byte_offset
        with open(tmp_path / "a", "r+b") as file:
            file.seek(where)
            file.write(bytes(8))
        with pytest.raises(ValueError, match=r"'u' in .*a is damaged"):
            convert(tmp_path / "a", tmp_path / "o.h5", inputs=["a"], targets=["u"])
        assert os.listdir(tmp_path) == ["a"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"inputs": ["b"], "targets": ["u"]}, "no array 'b' in these arrays"),
            (
                {"inputs": ["a"], "targets": None},
                "Name at least one input and one target, or one state",
            ),
            ({"inputs": ["a"], "targets": ["u"], "dtype": "float16"}, "dtype must be one of"),
            ({"inputs": ["a"], "targets": ["u"], "grid": Grid((3, 3))}, "on this grid"),
            ({"inputs": ["a"], "targets": ["u"], "axes": "x,y,sample,z"}, "has 3 axes"),
        ],
    )
    def test_wrong_arguments_leave_nothing(self, tmp_path, arguments, message):
        with pytest.raises(ValueError, match=message):
            convert({"a": place(), "u": place()}, tmp_path / "o.h5", **arguments)
        assert os.listdir(tmp_path) == []

    def test_an_unfinished_generation_is_not_lost(self, tmp_path):
        part = tmp_path / "o.h5.part"

        def stop(done):
            raise KeyboardInterrupt

        arguments = {"num_samples": 3, "seed": 0, "out": tmp_path / "o.h5"}
        with pytest.raises(KeyboardInterrupt):
            generate(Darcy(num_modes=8), Grid((9, 9)), **arguments, progress=stop)
        before = part.read_bytes()
        with pytest.raises(ValueError, match="unfinished data set of other arguments"):
            convert({"a": place(), "u": place()}, tmp_path / "o.h5", inputs=["a"], targets=["u"])
        assert part.read_bytes() == before

    def test_a_full_disk(self, tmp_path, full_disk):
        a = np.zeros((64, 32, 32), "f4")
        with full_disk(100_000), pytest.raises(OSError, match="Cannot write"):
            convert({"a": a, "u": a}, tmp_path / "o.h5", inputs=["a"], targets=["u"])
        assert os.listdir(tmp_path) == []
