"""Variables of MATLAB files: classes that scipy does not know do not spoil the others."""

import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from pdeops.datasets import convert, open_dataset
from pdeops.datasets.containers import open_store
from pdeops.datasets.containers.mat5_headers import headers

from ..layouts.foreign_files import mat73, place

NAMED = {"inputs": ["coeff"], "targets": ["sol"]}


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def string(name):
    """A MATLAB string as the program writes it: class 17, opaque, without dimensions."""
    numbers = element(6, struct.pack("<6I", 0xDD000000, 2, 1, 1, 1, 1))
    meta = element(6, struct.pack("<II", 13, 0)) + element(5, struct.pack("<ii", 6, 1))
    meta += element(1, b"") + numbers
    parts = [element(6, struct.pack("<II", 17, 0)), element(1, name)]
    return element(14, b"".join([*parts, element(1, b"MCOS"), element(1, b"string"),
                                 element(14, meta)]))  # fmt: skip


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_string_does_not_make_a_file_damaged(tmp_path, first, compressed):
    path = tmp_path / "d.mat"
    scipy.io.savemat(path, {"coeff": place(), "sol": place(2.0)}, do_compression=compressed)
    whole, note = path.read_bytes(), string(b"note")
    if compressed:
        packed = zlib.compress(note)
        note = struct.pack("<II", 15, len(packed)) + packed
    path.write_bytes(whole[:128] + note + whole[128:] if first else whole + note)
    store = open_store(path)
    assert set(store.arrays) == {"coeff", "sol"}
    assert store.refused == {"note": "MATLAB's class 'string', which is no array of numbers"}
    convert(path, tmp_path / "o.h5", **NAMED)
    np.testing.assert_array_equal(open_dataset(tmp_path / "o.h5")[3].target[0], place(2.0)[3])


def test_headers_tell_class_shape_and_complex_of_every_variable(tmp_path):
    content = {
        "a_name_of_more_than_eight_letters": place(),
        "c": np.array([1.0, "b"], dtype=object),
        "s": scipy.sparse.eye_array(3).tocsc(),
        "z": place() + 1j,
        "t": "words",
        "b": place() > 3,
        "st": {"k": 1.0},
        "i": np.int16([[1, 2]]),
    }
    for compressed in (False, True):
        scipy.io.savemat(tmp_path / "a", content, do_compression=compressed)
        found = {h.name: (h.kind, h.is_complex) for h in headers(tmp_path / "a")}
        assert found == {
            "a_name_of_more_than_eight_letters": ("single", False),
            "c": ("cell", False), "s": ("sparse", False), "z": ("single", True),
            "t": ("char", False), "b": ("logical", False), "st": ("struct", False),
            "i": ("int16", False),
        }  # fmt: skip
        known = {name: shape for name, shape, _ in scipy.io.whosmat(tmp_path / "a")}
        known["t"] = (1, 5)  # scipy gives (1,), the shape of its array of text
        assert {h.name: h.shape for h in headers(tmp_path / "a")} == known


@pytest.mark.parametrize("newer", [False, True])
def test_arrays_of_a_struct_are_named_by_their_path(tmp_path, newer):
    path = tmp_path / "d.mat"
    if newer:
        mat73(path, {"sol": place(2.0)})
        with h5py.File(path, "r+") as file:
            file["data/k"] = place().T
            file["data"].attrs["MATLAB_class"] = np.bytes_("struct")
            file["data/k"].attrs["MATLAB_class"] = np.bytes_("single")
    else:
        inner = {"k": place(), "note": "words", "deep": {"d": 1.0}}
        scipy.io.savemat(path, {"data": inner, "sol": place(2.0)})
        assert "text" in open_store(path).refused["data/note"] or newer
        assert "a struct within a struct" in open_store(path).refused["data/deep"]
    data = open_dataset(path, inputs=["data/k"], targets=["sol"])
    np.testing.assert_array_equal(data.read([2]).input[0, 0], place()[2])


def test_references_of_a_newer_struct_array_are_named(tmp_path):
    mat73(tmp_path / "d", {"coeff": place(), "sol": place()})
    with h5py.File(tmp_path / "d", "r+") as file:
        file["#refs#/a"] = place().T
        refs = np.array([file["#refs#/a"].ref], dtype=h5py.ref_dtype)
        file.create_dataset("runs/k", data=refs)
        file["runs"].attrs["MATLAB_class"] = np.bytes_("struct")
    refused = open_store(tmp_path / "d").refused
    assert refused["runs/k"].startswith("references to other arrays of the file, as MATLAB's")
    assert len(open_dataset(tmp_path / "d", **NAMED)) == 4


def test_a_spoiled_variable_is_named_and_the_others_are_read(tmp_path):
    path = tmp_path / "d.mat"
    scipy.io.savemat(path, {"coeff": place(), "sol": place(), "v": place()}, do_compression=True)
    whole = bytearray(path.read_bytes())
    whole[-20:-10] = bytes(10)  # within the compressed values of v
    path.write_bytes(whole)
    assert len(open_dataset(path, **NAMED)) == 4
    with pytest.raises(ValueError, match=r"'v' in .* cannot be read by scipy \(error: .*zlib|'v'"):
        open_dataset(path, inputs=["coeff"], targets=["v"])


def test_numbers_in_the_type_of_their_class_are_mapped(tmp_path):
    """Others, as whole numbers that MATLAB stores in few bytes, and compressed ones are read."""
    random = np.random.default_rng(0)
    arrays = {
        "single": random.standard_normal((3, 4, 5, 2)).astype("f4"),
        "double": random.standard_normal((6, 2)),
        "int": np.arange(7, dtype="i2")[:, None],
        "scalar": np.array([[2.5]]),
        "a_name_of_many_letters": np.asfortranarray(random.standard_normal((2, 3))),
    }
    for compressed in (False, True):
        path = tmp_path / f"{compressed}.mat"
        scipy.io.savemat(path, arrays, do_compression=compressed)
        store = open_store(path)
        for name, u in arrays.items():
            assert (store.arrays[name].layout == "contiguous") is not compressed
            got = store.in_memory(name)
            assert got.flags.owndata is False or compressed
            np.testing.assert_array_equal(got, u)
            assert got.dtype == u.dtype
    narrow = tmp_path / "narrow.mat"
    whole = (tmp_path / "False.mat").read_bytes()
    tag = np.array([9, arrays["double"].nbytes], "u4").tobytes()
    assert whole.count(tag) == 1
    # A variable of class double whose numbers have the type code of int64: the same length.
    narrow.write_bytes(whole.replace(tag, np.array([12, 96], "u4").tobytes()))
    assert open_store(narrow).arrays["double"].layout == "in memory once read"


@pytest.mark.parametrize("wrong", [(77, 96), (9, 88)], ids=["type", "length"])
def test_numbers_of_no_type_or_of_another_length_are_refused(tmp_path, wrong):
    """scipy does not check the type: such a file ended the process."""
    path = tmp_path / "d.mat"
    scipy.io.savemat(path, {"double": np.ones((6, 2))})
    tag, whole = np.array([9, 96], "u4").tobytes(), path.read_bytes()
    assert whole.count(tag) == 1
    path.write_bytes(whole.replace(tag, np.array(wrong, "u4").tobytes()))
    with pytest.raises(ValueError, match=r"damaged MATLAB file.*'double' of shape \(6, 2\)"):
        open_store(path)
