"""Formats known by content, and the errors for files of no format."""

import shutil
import zipfile

import h5py
import numpy as np
import pytest
import torch

from pdeops.datasets import inspect, open_dataset
from pdeops.domain import Boundary, Grid, Placement


@pytest.fixture
def darcy_like(generator):
    """x bool with the strides of the published file, y zero on the left edges only."""
    n = 16
    s = torch.arange(n) / n
    bump = torch.sin(torch.pi * s)[:, None] * torch.sin(torch.pi * s)
    x = (torch.rand(n, n, 6, generator=generator) > 0.5).permute(2, 0, 1)
    y = (bump[..., None] * torch.rand(6, generator=generator)).permute(2, 0, 1)
    assert not x.is_contiguous()
    return {"x": x, "y": y}


def save(path, content):
    torch.save(content, path)
    return path


def test_the_format_is_known_by_content_not_by_name(darcy_file, darcy_like, tmp_path):
    ours, foreign = tmp_path / "a.pt", tmp_path / "b.h5"
    shutil.copy(darcy_file, ours)
    save(foreign, darcy_like)
    assert inspect(ours)["format"] == "pdeops"
    assert inspect(foreign)["format"] == "neuraloperator"


def test_bool_and_strided_tensors_become_contiguous_float32(darcy_like, tmp_path):
    dataset = open_dataset(save(tmp_path / "a.pt", darcy_like))
    assert (len(dataset), dataset.in_channels, dataset.out_channels) == (6, 1, 1)
    batch = dataset.read([4, 1])
    for key, u in (("x", batch.input), ("y", batch.target)):
        assert u.dtype == torch.float32
        assert u.is_contiguous()
        assert torch.equal(u[:, 0], darcy_like[key][[4, 1]].float())
    assert dataset.spec is None


def test_files_of_old_torch_versions_are_read(darcy_like, tmp_path):
    torch.save(darcy_like, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(open_dataset(tmp_path / "a.pt")[3].target[0], darcy_like["y"][3])


def test_a_channel_axis_is_kept(tmp_path, generator):
    content = {k: torch.randn(3, c, 8, 6, generator=generator) for k, c in (("x", 2), ("y", 3))}
    dataset = open_dataset(save(tmp_path / "a.pt", content), grid=Grid((8, 6), boundary="periodic"))
    assert (dataset.inputs, dataset.targets) == (("x_0", "x_1"), ("y_0", "y_1", "y_2"))
    assert torch.equal(dataset[1].target, content["y"][1])


class TestWhereTheNodesLie:
    """neuraloperator's files do not say; the edges of y tell."""

    def open(self, darcy_like, tmp_path, u):
        y = u[:, None] * u * torch.ones(6, 1, 1)
        return open_dataset(save(tmp_path / "a.pt", {"x": darcy_like["x"], "y": y}))

    def test_both_ends_stored(self, darcy_like, tmp_path):
        data = self.open(darcy_like, tmp_path, torch.sin(torch.pi * torch.linspace(0, 1, 16)))
        assert data.domain == Grid((16, 16))
        assert not data.half_open

    def test_only_the_left_end_stored(self, darcy_like, tmp_path):
        data = self.open(darcy_like, tmp_path, torch.sin(torch.pi * torch.arange(16) / 16))
        assert data.domain == Grid((16, 16), placement="centers")
        assert data.half_open
        assert "right end not stored" in data.notes[0]

    def test_cell_centres(self, darcy_like, tmp_path):
        data = self.open(darcy_like, tmp_path, torch.sin(torch.pi * (torch.arange(16) + 0.5) / 16))
        assert data.domain == Grid((16, 16), placement="centers")
        assert not data.half_open

    def test_a_grid_that_is_given_is_taken(self, darcy_like, tmp_path):
        grid = Grid((16, 16), extent=2.0, boundary="periodic")
        data = open_dataset(save(tmp_path / "a.pt", darcy_like), grid=grid)
        assert data.domain == grid
        with pytest.raises(ValueError, match=r"must have shape \(..., 8, 8\)"):
            open_dataset(tmp_path / "a.pt", grid=Grid((8, 8)))

    def test_fields_that_are_not_two_valued_need_a_grid(self, tmp_path, generator):
        content = {k: torch.randn(4, 8, 8, generator=generator) for k in "xy"}
        path = save(tmp_path / "a.pt", content)
        with pytest.raises(ValueError, match=r"does not say where its nodes lie\. Give the grid"):
            open_dataset(path)
        assert open_dataset(path, grid=Grid((8, 8), boundary="periodic")).domain.shape == (8, 8)


def test_the_published_files(shared_data):
    folder = shared_data / "neuraloperator"
    train, test = (open_dataset(folder / f"darcy_{name}_16.pt") for name in ("train", "test"))
    assert (len(train), len(test)) == (1000, 50)
    assert train.domain == test.domain == Grid((16, 16), placement="centers")
    assert train.domain.boundary == (Boundary.DIRICHLET,) * 2
    assert train.domain.placement == (Placement.CENTERS,) * 2
    assert train.half_open
    assert test.half_open
    train.check()
    raw = torch.load(folder / "darcy_train_16.pt", weights_only=True)
    assert torch.equal(train.read([999]).input[0, 0], raw["x"][999].float())
    assert train.read([5]).input.unique().tolist() == [0.0, 1.0]
    # The nodes are j/16: profiles of the mean are symmetric about node 8, not between 7 and 8.
    profile = raw["y"].mean((0, 2))
    torch.testing.assert_close(profile[1:8], profile[9:].flip(0), rtol=0.03, atol=0)
    assert (profile[:8] - profile[8:].flip(0)).abs().max() > 0.1


def test_inspect_says_what_is_in_a_file(darcy_file, darcy_like, tmp_path):
    report = inspect(darcy_file)
    assert report["samples"] == 12
    assert report["problem"] == "darcy"
    assert report["seed"] == 1
    assert report["largest_residual"] <= 1e-10
    assert report["grid"]["shape"] == [17, 17]
    k, p = report["fields"]["permeability"], report["fields"]["pressure"]
    assert (k["min"], k["max"], k["role"], k["dtype"]) == (3.0, 12.0, "input", "float32")
    assert (p["shape"], p["layout"], p["not_finite"]) == ([12, 17, 17], "contiguous", 0)
    with h5py.File(darcy_file) as file:
        assert p["mean"] == pytest.approx(file["pressure"][()].astype("f8").mean(), rel=1e-12)
    darcy_like["y"][2, 3, 4] = torch.nan
    report = inspect(save(tmp_path / "a.pt", darcy_like))
    assert report["fields"]["y"]["not_finite"] == 1
    assert report["fields"]["y"]["min"] == 0.0
    assert report["fields"]["x"]["dtype"] == "bool"
    assert report["fields"]["x"]["layout"] == "strided"
    assert report["spec"] is None
    assert "right end not stored" in report["notes"][0]


class TestBadFiles:
    """Each says what it is and what to do."""

    def test_missing(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"no data file .*a\.h5\. .*generate --help.* --out .*a\.h5"
        ):
            open_dataset(tmp_path / "a.h5")

    def test_unfinished(self, tmp_path, darcy_file):
        shutil.copy(darcy_file, tmp_path / "a.h5.part")
        with pytest.raises(FileNotFoundError, match="unfinished one"):
            open_dataset(tmp_path / "a.h5")
        with pytest.raises(ValueError, match="is unfinished"):
            open_dataset(tmp_path / "a.h5.part")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"<!DOCTYPE html><html><body>Quota exceeded</body></html>", "HTML or XML page"),
            (b"\n  <html>", "HTML or XML page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
            (b"\x93NUMPY\x01\x00", r"damaged \.npy array"),
            (b"\x80\x04\x95\x00", "Python pickle, which could run code"),
            (b"PK\x03\x04" + bytes(22) + b"\x05\x00\x00\x00a.npy", r"damaged \.npz file"),
            (b"1.0,2.0\n", "no format that pdeops reads"),
        ],
    )
    def test_no_data(self, tmp_path, content, message):
        (tmp_path / "a.h5").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            open_dataset(tmp_path / "a.h5")

    def test_a_folder(self, tmp_path):
        with pytest.raises(ValueError, match="is a folder"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize("keep", [10, 2000, 5000, -100])
    def test_truncated_hdf5(self, tmp_path, darcy_file, keep):
        (tmp_path / "a.h5").write_bytes(darcy_file.read_bytes()[:keep])
        with pytest.raises(ValueError, match="damaged HDF5 file"):
            open_dataset(tmp_path / "a.h5")

    def test_hdf5_of_another_kind(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["coeff"] = np.zeros((2, 3))
        with pytest.raises(
            ValueError, match=r"holds coeff \(2, 3\) float64; which of them are input and target"
        ):
            open_dataset(tmp_path / "a.h5")

    def change(self, darcy_file, tmp_path, edit):
        shutil.copy(darcy_file, tmp_path / "a.h5")
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            edit(file)
        return tmp_path / "a.h5"

    def test_another_format_version(self, tmp_path, darcy_file):
        path = self.change(darcy_file, tmp_path, lambda f: f.attrs.modify("format_version", 3))
        with pytest.raises(ValueError, match="format version 3; this pdeops reads 2"):
            open_dataset(path)

    def test_fields_that_disagree_with_the_spec(self, tmp_path, darcy_file):
        def edit(file):
            del file["pressure"]
            file["pressure"] = np.zeros((11, 17, 17), "f4")

        with pytest.raises(
            ValueError, match=r"'pressure' should have shape \(12, 17, 17\), and has \(11, "
        ):
            open_dataset(self.change(darcy_file, tmp_path, edit))
        path = self.change(darcy_file, tmp_path, lambda f: f.__delitem__("pressure"))
        with pytest.raises(ValueError, match="and has nothing"):
            open_dataset(path)

    def test_a_grid_that_disagrees_with_the_spec(self, darcy_file):
        assert open_dataset(darcy_file, grid=Grid((17, 17))).domain == Grid((17, 17))
        with pytest.raises(ValueError, match="Leave the grid out"):
            open_dataset(darcy_file, grid=Grid((16, 16)))

    @pytest.mark.parametrize("keep", [100, 3000])
    def test_truncated_pt(self, tmp_path, darcy_like, keep):
        path = save(tmp_path / "a.pt", darcy_like)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match="damaged torch file"):
            open_dataset(path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"u": torch.zeros(2, 3, 3)}, r"holds u \(2, 3, 3\) float32; which of them are input"),
            ([torch.zeros(2)], "it holds list"),
            (
                {"x": torch.zeros(2, 3, 3), "y": torch.zeros(3, 3, 3)},
                "pdeops reads pairs of fields",
            ),
            (
                {"x": torch.zeros(2, 16), "y": torch.zeros(2, 17, 16)},
                r"x \(2, 16\) and y \(2, 17, 16\)",
            ),
            ({"x": torch.zeros(0, 3, 3), "y": torch.zeros(0, 3, 3)}, "pdeops reads pairs"),
            ({"x": torch.ones(2, 3, 3).bool(), "y": torch.zeros(2, 3, 4)}, "does not say where"),
        ],
    )
    def test_pt_of_another_kind(self, tmp_path, content, message):
        with pytest.raises(ValueError, match=message):
            open_dataset(save(tmp_path / "a.pt", content))

    def test_trajectories(self, shared_data):
        with pytest.raises(
            ValueError, match=r"times and channels are called so\): .* --axes y=sample,time,x"
        ):
            open_dataset(shared_data / "neuraloperator" / "burgers_train_16.pt")

    def test_pt_with_code_in_it_is_not_run(self, tmp_path):
        path = save(tmp_path / "a.pt", {"x": zipfile.ZipFile})
        with pytest.raises(ValueError, match="could run code when loaded"):
            open_dataset(path)
