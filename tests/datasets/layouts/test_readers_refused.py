"""What no reader takes, whatever it is stored in: the error says what was found and what to do."""

import pickle

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from pdeops.datasets import convert, inspect, open_dataset

from . import foreign_files as files
from .foreign_files import SHAPE, WRITERS, place


class Trace:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


class TestRefused:
    @pytest.mark.parametrize("write", ["npz", "npy_folder", "mat5", "mat73", "hdf5", "torch"])
    def test_complex_numbers(self, tmp_path, write):
        a = place() + 1j
        if write == "mat73":
            files.mat73(tmp_path / "a", {"sol": place()})
            with h5py.File(tmp_path / "a", "r+") as file:
                pair = np.dtype([("real", "f4"), ("imag", "f4")])
                file.create_dataset("coeff", data=np.zeros(SHAPE, pair))
                file["coeff"].attrs["MATLAB_class"] = np.bytes_("single")
        else:
            WRITERS[write][0](tmp_path / "a", {"coeff": a.astype("c8"), "sol": place()})
        for arguments in ({}, {"inputs": ["coeff"], "targets": ["sol"]}):
            with pytest.raises(ValueError, match="complex numbers"):
                open_dataset(tmp_path / "a", **arguments)
        with pytest.raises(ValueError, match="complex numbers; store real and imaginary part"):
            convert(tmp_path / "a", tmp_path / "o.h5", inputs=["coeff"], targets=["sol"])
        assert not (tmp_path / "o.h5").exists()

    @pytest.mark.parametrize("write", [files.npz, files.npz_compressed, files.npy_folder])
    def test_python_objects_are_refused_and_never_run(self, tmp_path, write):
        trace = tmp_path / "trace"
        write(tmp_path / "a", {"x": np.array([Trace(trace)], dtype=object), "y": place()})
        with pytest.raises(ValueError, match="holds Python objects, a pickle that could run code"):
            open_dataset(tmp_path / "a")
        assert inspect(tmp_path / "a")["not_read"]["x"].startswith("Python objects")
        assert not trace.exists()
        stored = tmp_path / ("a/x.npy" if (tmp_path / "a").is_dir() else "a")
        content = np.load(stored, allow_pickle=True)  # the control: it leaves its trace
        (content if stored.suffix else content["x"])[0].close()
        assert trace.exists()

    @pytest.mark.parametrize("protocol", [2, 4, 5])
    def test_a_pickle_is_refused_and_never_run(self, tmp_path, protocol):
        trace = tmp_path / "trace"
        (tmp_path / "a").write_bytes(pickle.dumps({"x": Trace(trace)}, protocol))
        with pytest.raises(ValueError, match=r"could run code when loaded|damaged torch file"):
            open_dataset(tmp_path / "a")
        assert not trace.exists()
        pickle.loads((tmp_path / "a").read_bytes())["x"].close()
        assert trace.exists()

    def test_a_torch_file_with_code_is_refused_and_never_run(self, tmp_path):
        trace = tmp_path / "trace"
        torch.save({"x": Trace(trace), "y": torch.zeros(2, 3)}, tmp_path / "a")
        with pytest.raises(ValueError, match="could run code when loaded"):
            open_dataset(tmp_path / "a")
        assert not trace.exists()
        torch.load(tmp_path / "a", weights_only=False)["x"].close()
        assert trace.exists()

    def test_what_is_no_array_in_matlab(self, tmp_path):
        cell = np.array([1.0, "b"], dtype=object)
        scipy.io.savemat(tmp_path / "a", {"coeff": cell, "text": "words", "sol": place()})
        with pytest.raises(ValueError, match=r"'coeff' in .* MATLAB's class 'cell' of shape 1 x 2"):
            open_dataset(tmp_path / "a")
        assert inspect(tmp_path / "a")["not_read"]["text"].startswith("MATLAB's class 'char'")

    def test_single_npy_file(self, tmp_path):
        np.save(tmp_path / "k.npy", place())
        with pytest.raises(ValueError, match=r"one array, \(4, 5, 7\) float32.*name this folder"):
            open_dataset(tmp_path / "k.npy")

    def test_shapes_that_do_not_fit(self, tmp_path):
        files.npz(tmp_path / "a", {"a": place(), "u": place()[:3], "v": place()[:, :4]})
        with pytest.raises(ValueError, match=r"same samples: a .* has 4; u .* has 3"):
            open_dataset(tmp_path / "a", inputs=["a"], targets=["u"])
        with pytest.raises(ValueError, match=r"same nodes: a .* has 5 x 7; v .* has 4 x 7"):
            open_dataset(tmp_path / "a", inputs=["a"], targets=["v"])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"axes": "sample,x"}, r"'a' has 3 axes, \(4, 5, 7\); got 2 names"),
            ({"axes": "sample,x,t"}, "'t' is none"),
            ({"axes": "sampel,x,y"}, "Did you mean 'sample'"),
            ({"axes": "x,z,sample"}, "must have x, or x and y, or"),
            ({"axes": "sample,x,z"}, "x, or x and y, or"),
            ({"axes": "sample,x,x"}, "once each"),
            ({"axes": {"b": "sample,x,y"}}, "'b', which is neither input nor target"),
            ({"inputs": ["u"]}, "input, target or state, once"),
            ({"inputs": []}, "at least one input"),
            ({"inputs": "a"}, "lists of names"),
        ],
    )
    def test_wrong_arguments(self, tmp_path, arguments, message):
        files.npz(tmp_path / "a", {"a": place(), "u": place()})
        with pytest.raises(ValueError, match=message):
            open_dataset(tmp_path / "a", **{"inputs": ["a"], "targets": ["u"], **arguments})
        with pytest.raises(ValueError, match=r"one target.* got input alone"):
            open_dataset(tmp_path / "a", inputs=["a"])
