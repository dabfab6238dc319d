"""Objects of HDF5 files: what can be read is read, through links; the rest has its true reason."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from pdeops.datasets import convert, inspect, open_dataset
from pdeops.datasets.containers import open_store
from pdeops.datasets.containers.hdf5 import HDF5Store

from ..layouts.foreign_files import place

NAMED = {"inputs": ["coeff"], "targets": ["sol"]}


def linked(folder):
    """A field behind an external link, in another folder, and one behind a soft link."""
    (folder / "parts").mkdir()
    with h5py.File(folder / "parts" / "part.h5", "w") as file:
        file["k"] = place(3.0)
    with h5py.File(folder / "d.h5", "w") as file:
        file["g/p"] = place(2.0)
        file["coeff"] = h5py.ExternalLink("parts/part.h5", "/k")
        file["sol"] = h5py.SoftLink("/g/p")
    return folder / "d.h5"


def test_values_come_through_soft_and_external_links(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = open_dataset(linked(tmp_path), **NAMED)
    batch = data.read([2, 0])
    np.testing.assert_array_equal(batch.input[:, 0], place(3.0)[[2, 0]])
    np.testing.assert_array_equal(batch.target[:, 0], place(2.0)[[2, 0]])
    convert(tmp_path / "d.h5", tmp_path / "o.h5", **NAMED)
    with h5py.File(tmp_path / "o.h5") as file:
        np.testing.assert_array_equal(file["coeff"][()], place(3.0))


def test_links_that_lead_nowhere_are_named_and_cycles_end(tmp_path):
    path = linked(tmp_path)
    os.remove(tmp_path / "parts" / "part.h5")
    with h5py.File(path, "r+") as file:
        file["dangling"] = h5py.SoftLink("/nothing")
        file["loop"] = h5py.SoftLink("/loop")
        file["g/back"] = h5py.SoftLink("/")
    refused = open_store(path).refused
    assert "external link to /k of the file parts/part.h5, which is missing" in refused["coeff"]
    assert "soft link to /nothing" in refused["dangling"]
    assert "soft link to /loop" in refused["loop"]
    with pytest.raises(ValueError, match=r"'coeff' in .*d\.h5 holds nothing.*part\.h5"):
        open_dataset(path, **NAMED)
    assert "damaged" not in str(refused)


def test_each_kind_of_value_that_is_no_number_has_its_reason(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["p"] = place()
        file.create_dataset("ref", data=np.array([file["p"].ref], dtype=h5py.ref_dtype))
        file.create_dataset("text", data=["x"], dtype=h5py.string_dtype())
        file.create_dataset("ascii", data=[b"x"], dtype=h5py.string_dtype("ascii"))
        file["fixed"] = np.array([b"abc"])
        file.create_dataset("ragged", shape=(2,), dtype=h5py.vlen_dtype(np.float64))
        file["records"] = np.zeros(3, [("u", "f4"), ("v", "f4")])
        file["complex"] = np.zeros(3, "c16")
        file["none"] = h5py.Empty("f4")
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"when", h5py.h5t.UNIX_D32LE, space)
    store = open_store(tmp_path / "d.h5")
    assert list(store.arrays) == ["p"]
    message = {
        "ref": "references to other arrays",
        "text": "text",
        "ascii": "text",
        "fixed": "text",
        "ragged": "rows of different length",
        "records": "records with the members u, v",
        "complex": "complex numbers",
        "none": "the dataset is empty",
        "when": "a type that NumPy does not have",
    }
    assert set(store.refused) == set(message)
    for name, reason in message.items():
        assert reason in store.refused[name]
        assert "pickle" not in store.refused[name]


def test_virtual_and_external_values_that_are_missing_are_not_zeros(tmp_path):
    """HDF5 itself reads fill values in place of a missing source."""
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["k"] = place()
    layout = h5py.VirtualLayout(place().shape, "f4")
    layout[:] = h5py.VirtualSource("source.h5", "k", shape=place().shape)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_virtual_dataset("coeff", layout)
        file["sol"] = place()
        file.create_dataset("raw", (3,), "f8", external=[("gone.raw", 0, 24)])
    store = open_store(tmp_path / "d.h5")
    np.testing.assert_array_equal(store.read("coeff", (slice(None),) * 3), place())
    assert "of which gone.raw is missing" in store.refused["raw"]
    os.remove(tmp_path / "source.h5")
    with h5py.File(tmp_path / "d.h5") as file:
        assert not file["coeff"][()].any()  # the control: zeros, without a word
    with pytest.raises(ValueError, match=r"other files, of which source\.h5 is missing"):
        open_dataset(tmp_path / "d.h5", **NAMED)


def test_a_filter_that_is_not_installed_is_named(tmp_path):
    """The number of gzip is overwritten by one that nobody has; so is no file damaged."""
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("coeff", data=place(), chunks=(1, 5, 7), compression="gzip")
        file["sol"] = place()
    content = (tmp_path / "d.h5").read_bytes()
    number = content.index(b"deflate") - 8
    assert content[number : number + 2] == b"\x01\x00"
    changed = content[:number] + (32001).to_bytes(2, "little") + content[number + 2 :]
    (tmp_path / "d.h5").write_bytes(changed)
    with pytest.raises(ValueError, match=r"filter deflate \(HDF5's number 32001\).*not installed"):
        open_dataset(tmp_path / "d.h5", **NAMED)


def test_packed_values_are_unpacked_without_netcdf(tmp_path):
    """Scale, offset and fill values are attributes of plain HDF5 files too."""
    stored = np.arange(140, dtype="i2").reshape(4, 5, 7)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("coeff", data=stored, chunks=(2, 5, 7))
        file["coeff"].attrs.update(scale_factor=0.5, add_offset=-3.0, units="K")
        file["sol"] = stored
        file["sol"].attrs["_FillValue"] = np.int16(139)
    store = open_store(tmp_path / "d.h5")
    whole = (slice(None),) * 3
    np.testing.assert_array_equal(store.read("coeff", whole), stored * 0.5 - 3)
    sol = store.read("sol", whole)
    assert sol.dtype == np.float32
    assert np.isnan(sol[3, 4, 6])
    assert np.isfinite(sol).sum() == sol.size - 1
    assert store.arrays["coeff"].units == "K"
    with pytest.raises(ValueError, match=r"'sol' in .* holds 1 values that are not finite.*: 3\."):
        convert(tmp_path / "d.h5", tmp_path / "o.h5", **NAMED)


def test_labels_of_dimensions_and_names_of_some_are_used(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for name in ("coeff", "sol"):
            file[name] = place()
            file[name].dims[0].label = "y"
            file[name].dims[2].label = "sample"
    data = open_dataset(tmp_path / "d.h5", **NAMED)
    assert (len(data), data.domain.shape) == (7, (5, 4))
    np.testing.assert_array_equal(data.read([6]).target[0, 0], place()[:, :, 6].T)
    assert "axes of coeff: axis 1 as x, by their order" in data.notes


def test_datasets_beyond_the_listed_ones_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(HDF5Store, "MAX_OBJECTS", 3)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for i in range(9):
            file[f"k{i}"] = place(float(i + 1))
    assert len(open_store(tmp_path / "d.h5").arrays) == 3
    data = open_dataset(tmp_path / "d.h5", inputs=["k0"], targets=["k8"])
    np.testing.assert_array_equal(data[1].target[0], place(9.0)[1])


def test_a_file_that_another_process_writes_is_not_called_damaged(tmp_path):
    code = (
        "import h5py, sys; file = h5py.File('d.h5', 'w'); file['coeff'] = [1.0]; file.flush()\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(BlockingIOError, match="unable to lock file"):
            inspect(tmp_path / "d.h5")
    finally:
        writer.communicate()
