"""Files and arguments that people have: each is read with its right values, or named; never a
traceback."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
import xarray

from pdeops.datasets import open_dataset

from .test_bad_input import refused

RANDOM = np.random.default_rng(0)
A, U = RANDOM.random((4, 9, 7)), RANDOM.random((4, 9, 7))
PAIR = ("--input", "a", "--target", "u")


def netcdf(path, engine="h5netcdf", dims=("sample", "x", "y"), a=A, u=U, **coordinates):
    xarray.Dataset({"a": (dims, a), "u": (dims, u)}, coordinates).to_netcdf(path, engine=engine)


def latitude_from_the_north_in_matlab(path):
    content = {"a": A[:, ::-1], "u": U[:, ::-1], "lat": np.linspace(60, 0, 9)}
    scipy.io.savemat(path, {**content, "lon": np.linspace(0, 90, 7)})


def time_first_in_one_and_last_in_the_other(path):
    fields = {"a": (("time", "lat", "lon"), A), "u": (("lon", "lat", "time"), U.T)}
    xarray.Dataset(fields).to_netcdf(path, engine="scipy")


def dates_as_times(path):
    times = np.array(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"], dtype="M8[ns]")
    netcdf(path, dims=("time", "lat", "lon"), time=times)


def fortran_order(path):
    np.savez(path, a=np.asfortranarray(A), u=np.asfortranarray(U))


def big_endian(path):
    np.savez(path, a=A.astype(">f8"), u=U.astype(">f4"))


def text_as_coordinates(path):
    netcdf(path, sample=list("abcd"), x=[f"station {i}" for i in range(9)])


def text_as_coordinates_of_netcdf3(path):
    netcdf(path, engine="scipy", sample=list("abcd"))


def objects_beside_fields(path):
    np.savez(path, a=A, u=U, note=np.array([{"by": "me"}], dtype=object))


def records_beside_fields(path):
    with h5py.File(path, "w") as file:
        file["a"], file["u"] = A, U
        file["log"] = np.zeros(3, [("step", "i4"), ("error", "f8")])


def transposed_73(path):
    """As MATLAB writes it, beside a string, a struct array and an empty array."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, u in (("a", A), ("u", U)):
            file[name] = u.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
        file["note"] = np.zeros((1, 6), "u4")
        file["note"].attrs["MATLAB_class"] = np.bytes_("string")
        file["#refs#/b"] = A
        refs = np.array([[file["#refs#/b"].ref]], dtype=h5py.ref_dtype)
        file.create_dataset("cells", data=refs)
        file["cells"].attrs["MATLAB_class"] = np.bytes_("cell")
        file["none"] = np.zeros(2, "u8")
        file["none"].attrs.update(MATLAB_class=np.bytes_("double"), MATLAB_empty=1)
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM"
    path.write_bytes(text + path.read_bytes()[128:])


def compound_netcdf(path):
    """xarray refuses such a file whole."""
    netcdf(path)
    with h5py.File(path, "r+") as file:
        file["log"] = np.zeros(3, [("step", "i4"), ("error", "f8")])


def a_dimension_without_values(path):
    netcdf(path)  # sample, x, y are dimensions of netCDF without coordinates
    with h5py.File(path) as file:
        assert "sample" in file


def bools_and_integers(path):
    np.savez(path, a=np.round(A * 100).astype("u1"), u=U)


READ = [
    latitude_from_the_north_in_matlab, time_first_in_one_and_last_in_the_other, dates_as_times,
    fortran_order, big_endian, text_as_coordinates, text_as_coordinates_of_netcdf3,
    objects_beside_fields, records_beside_fields, transposed_73, compound_netcdf,
    a_dimension_without_values, bools_and_integers,
]  # fmt: skip


@pytest.mark.parametrize("write", READ)
def test_values_are_those_of_the_file(pdeops, tmp_path, write):
    path = tmp_path / "d.npz"
    write(path)
    done = pdeops("data", "inspect", path, "--json")
    assert done.status == 0, done.stderr
    done = pdeops("data", "convert", path, tmp_path / "o.h5", *PAIR, "--json")
    assert done.status == 0, done.stderr
    batch = open_dataset(tmp_path / "o.h5", dtype=torch.float64).read(range(4))
    a = np.round(A * 100) if write is bools_and_integers else A
    u = U.astype("f4") if write is big_endian else U
    np.testing.assert_array_equal(batch.input[:, 0], a)
    np.testing.assert_array_equal(batch.target[:, 0], u)


def test_what_is_not_read_is_named(pdeops, tmp_path):
    transposed_73(tmp_path / "d.mat")
    report = pdeops("data", "inspect", tmp_path / "d.mat", "--json").json
    assert set(report["not_read"]) == {"note", "cells", "none"}
    records_beside_fields(tmp_path / "d.h5")
    report = pdeops("data", "inspect", tmp_path / "d.h5", "--json").json
    assert "records with the members step, error" in report["not_read"]["log"]


def no_samples(path):
    np.savez(path, a=A[:0], u=U[:0])


def masked(path):
    a = np.where(A > 0.9, -999.0, A)
    fields = {"a": (("sample", "x", "y"), a, {"_FillValue": -999.0})}
    xarray.Dataset({**fields, "u": (("sample", "x", "y"), U)}).to_netcdf(path, engine="scipy")


def a_password(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, u in (("a", A), ("u", U)):
            file = io.BytesIO()
            np.save(file, u)
            archive.writestr(f"{name}.npy", file.getvalue())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def another_compression(path):
    np.savez_compressed(path, a=A, u=U)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] = 9  # deflate64
    content[8] = 9
    path.write_bytes(content)


def a_dangling_link(path):
    with h5py.File(path, "w") as file:
        file["a"], file["u"] = h5py.SoftLink("/nothing"), U


def dates(path):
    np.savez(path, a=np.array(["2020-01-01"] * 4, dtype="M8[D]"), u=U)


def a_cell(path):
    scipy.io.savemat(path, {"a": np.array([A, "b"], dtype=object), "u": U})


def a_module(path):
    torch.save(torch.nn.Linear(2, 2), path)


def a_list_of_tensors(path):
    torch.save([torch.ones(2)], path)


def a_trace(path):
    path.write_bytes(b"\x93NUMPY\x03\x00" + (10).to_bytes(4, "little") + b"{'descr': ")


REFUSED = {
    no_samples: "'a' is empty",
    masked: f"holds {(A > 0.9).sum()} values that are not finite",
    a_password: "password",
    another_compression: "cannot be opened",
    a_dangling_link: "soft link to /nothing",
    dates: "dates or durations",
    a_cell: "MATLAB's class 'cell'",
    a_module: "Python objects besides tensors",
    a_list_of_tensors: "it holds list",
    a_trace: "damaged .npy array",
}


@pytest.mark.parametrize("write", REFUSED)
def test_the_reason_is_named(pdeops, workshop, tmp_path, write):
    path, out = tmp_path / "d.npz", tmp_path / "o.h5"
    write(path)
    done = pdeops("data", "convert", path, out, *PAIR)
    refused(done, REFUSED[write])
    assert "damaged" not in done.stderr or write is a_trace
    assert not out.exists()
    assert "Traceback" not in pdeops("data", "inspect", path).stderr
    refused(pdeops("evaluate", workshop.run, "--data", path))
    refused(pdeops("predict", workshop.run, "--data", path, "--out", out))
    assert [p.name for p in tmp_path.iterdir()] == ["d.npz"]


def test_one_sample(pdeops, workshop, tmp_path):
    path = tmp_path / "d.npz"
    with h5py.File(workshop.test) as file:
        np.savez(path, coeff=file["permeability"][:1], sol=file["pressure"][:1])
    assert pdeops("evaluate", workshop.run, "--data", path, "--json").json["samples"] == 1
    out = tmp_path / "p.h5"
    assert pdeops("predict", workshop.run, "--data", path, "--out", out).status == 0
    assert len(open_dataset(out)) == 1
    done = pdeops("train", "fno_darcy65", "--set", f"data.train={path}", "--out", tmp_path / "run")
    refused(done, "leaves no sample to train on")


@pytest.mark.parametrize("place", ["/proc/none/o.h5", "file/o.h5"])
def test_outputs_that_cannot_be_written_are_found_early(
    pdeops, workshop, tmp_path, monkeypatch, place
):
    """Before the operator is applied, and before a sample is solved."""
    from pdeops.datasets.generate import workers
    from pdeops.nn.operator import Operator

    def never(*arguments, **options):
        raise AssertionError("computed")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Operator, "forward", never)
    monkeypatch.setattr(workers, "produce", never)
    Path("file").write_text("")
    message = f"Cannot write {place}"
    refused(pdeops("predict", workshop.run, "--data", workshop.test, "--out", place), message)
    generate = ("data", "generate", "poisson", "--samples", 1, "--resolution", 9)
    refused(pdeops(*generate, "--out", place), message)
    np.savez("d.npz", a=A, u=U)
    refused(pdeops("data", "convert", "d.npz", place, *PAIR), message)
    assert Path("file").read_text() == ""


@pytest.mark.parametrize("role", ["permeability", "pressure"])
def test_spoiled_data_are_named_before_anything_is_computed(
    pdeops, workshop, tmp_path, monkeypatch, role
):
    from pdeops.nn.operator import Operator

    path, out = tmp_path / "d.h5", tmp_path / "p.h5"
    path.write_bytes(Path(workshop.test).read_bytes())
    with h5py.File(path, "r+") as file:
        file[role][1:3, 4, 5] = np.nan
    done = pdeops("predict", workshop.run, "--data", path, "--out", out)
    if role == "pressure":  # a target is not needed for a prediction
        assert done.status == 0, done.stderr
    else:
        refused(done, "not finite", "'permeability' in sample(s) 1-2")
        assert not out.exists()
    monkeypatch.setattr(Operator, "forward", lambda *a: pytest.fail("computed"))
    refused(pdeops("evaluate", workshop.run, "--data", path), f"{role!r} in sample(s) 1-2")


@pytest.mark.parametrize(
    ("option", "word"),
    [("9", "got 9"), ("a", "--without"), ("0-3", "All 4 samples"), ("3-1-2", "--without")],
)
def test_samples_to_leave_out_that_are_none(pdeops, tmp_path, option, word):
    np.savez(tmp_path / "d.npz", a=A, u=U)
    arguments = ("data", "convert", tmp_path / "d.npz", tmp_path / "o.h5", "--without", option)
    refused(pdeops(*arguments), word)


def test_parameters_of_the_equation(pdeops, tmp_path):
    np.savez(tmp_path / "d.npz", u=np.zeros((3, 2, 8)))
    convert = ("data", "convert", tmp_path / "d.npz", tmp_path / "o.h5", "--state", "u", "--axes")
    refused(pdeops(*convert, "sample,time,x", "--parameter", "viscosity"), "reads NAME=VALUE")
    refused(pdeops(*convert, "sample,time,x", "--parameter", "viscosity=a"), "--parameter reads")
    done = pdeops(*convert, "sample,time,x", "--parameter", "viscosity=1e-3", "--json")
    assert done.json["parameters"] == {"viscosity": 1e-3}
    inspected = pdeops("data", "inspect", tmp_path / "o.h5", "--json").json
    assert inspected["parameters"] == {"viscosity": 1e-3}
