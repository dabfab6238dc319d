"""Conversion of arrays on points and of meshes to files of the project."""

import os

import numpy as np
import pytest
import torch

from pdeops.datasets import convert, inspect, open_dataset
from pdeops.domain import Grid

from .layouts.point_files import elasticity, square, values

COUNTS = np.array([6, 3, 5])
CELLS = np.array([[[0, 1, 2], [0, 2, 3]]] * 3)


def arrays():
    """Three padded clouds; the mask is not a prefix in sample 1."""
    mask = np.arange(6) < COUNTS[:, None]
    mask[1] = [True, False, True, False, False, True]
    positions = np.where(mask[..., None], values(3, 6, 2), np.nan)
    return {"p": positions, "u": values(3, 6, seed=1), "m": mask, "w": values(3, 6, seed=2)}


def test_padded_arrays(tmp_path):
    given = arrays()
    points = {"positions": "p", "mask": "m", "weights": "w", "box": [[0, 0], [1, 1]]}
    report = convert(given, tmp_path / "a.h5", targets=["u"], points=points)
    assert report["points"] == "3 to 6 points in each sample, quadrature weights"
    data = open_dataset(tmp_path / "a.h5", dtype=torch.float64)
    assert data.domain.box == [[0, 0], [1, 1]]
    for i in range(3):
        real = given["m"][i]
        assert np.array_equal(data[i].positions, given["p"][i, real].T)
        assert np.array_equal(data[i].target[0], given["u"][i, real])
        assert np.array_equal(data[i].weights, given["w"][i, real])


def test_axes_inputs_and_parameters(tmp_path):
    given = {"p": values(2, 3, 7), "a": values(7, 3, seed=1), "v": values(3, 7, 2, seed=2)}
    given["p"] = np.moveaxis(given["p"], 1, 0)  # (sample, coordinate, point)
    convert(
        given, tmp_path / "a.h5", inputs=["a"], targets=["v"], points={"positions": "p"},
        axes={"a": "point,sample"}, parameters={"load": np.array([1.0, 2, 3]), "modulus": 5.0},
        without=[1],
    )  # fmt: skip
    data = open_dataset(tmp_path / "a.h5", dtype=torch.float64)
    assert (data.inputs, data.targets) == (("a",), ("v_0", "v_1"))
    assert np.array_equal(data[1].input[0], given["a"][:, 2])
    assert np.array_equal(data[1].target, given["v"][2].T)
    assert np.array_equal(data[1].positions, given["p"][2])
    assert data[1].parameters.tolist() == [3]
    assert data.parameters["modulus"] == 5


def test_cells_are_renumbered_and_give_weights(tmp_path):
    x = np.array([[0, 0], [9, 9], [1, 0], [1, 1], [0, 1.0]])
    given = {
        "p": np.stack([x, 2 * x]),
        "u": np.ones((2, 5)),
        "m": np.array([[True, False, True, True, True]] * 2),
        "t": np.array([[0, 2, 3], [0, 3, 4]]),
    }
    points = {"positions": "p", "mask": "m", "cells": "t"}
    report = convert(given, tmp_path / "a.h5", targets=["u"], points=points)
    data = open_dataset(tmp_path / "a.h5")
    assert data.points(1).cells.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert data.points(0).volume == pytest.approx(1)
    assert data.points(1).volume == pytest.approx(4)
    assert report["grid"]["box"] == [[0, 0], [2, 2]]
    given["t"] = np.array([[0, 1, 2], [0, 3, 4]])
    with pytest.raises(ValueError, match=r"Cell 0 of sample 0 .*mask is false"):
        convert(given, tmp_path / "b.h5", targets=["u"], points=points)


BAD_CELLS = {
    "from one": (CELLS + 1.0, r"points 0..3 of their sample; cell 1 of sample 0 names \[1, 3, 4\]"),
    "fractions": (CELLS + 0.5, r"whole numbers; cell 0 of sample 0 is \[0.5, 1.5, 2.5\]"),
    "NaN": (CELLS * np.nan, r"whole numbers; cell 0 of sample 0 is \[nan, nan, nan\]"),
    "one axis": (CELLS[0, 0], r"or cell and corner for all samples; got t \(3,\)"),
}


@pytest.mark.parametrize("name", BAD_CELLS)
def test_bad_cells(tmp_path, name):
    """Also where the weights would be computed from them before they are checked."""
    x = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    given = {"p": np.stack([x] * 3), "u": np.ones((3, 4)), "t": CELLS * 1.0}
    points = {"positions": "p", "cells": "t"}
    convert(given, tmp_path / "a.h5", targets=["u"], points=points)
    assert np.array_equal(open_dataset(tmp_path / "a.h5").points(0).cells, CELLS[0])
    given["t"], message = BAD_CELLS[name]
    with pytest.raises(ValueError, match=message):
        convert(given, tmp_path / "b.h5", targets=["u"], points=points)


BAD = {
    "NaN": ({"m": None}, {}, r"of sample 1.* first is point 1 with \[nan, nan\]"),
    "mask": ({"m": np.ones((3, 4), bool)}, {}, r"mask \(m \(3, 4\) bool\) does not fit"),
    "threshold": ({"m": np.full((3, 6), 0.5)}, {}, r"mask of sample 0 is true \(1\).* got 0.5"),
    "outside": (
        {"m": np.zeros((3, 6)) < 1, "p": values(3, 6, 2), "t": CELLS + 4},
        {"cells": "t"},
        r"the points 0..5 .*cell 0 of sample 0 names \[4, 5, 6\]",
    ),
    "negative": (
        {"m": np.zeros((3, 6)) < 1, "p": values(3, 6, 2), "t": CELLS - 1},
        {"cells": "t"},
        r"cell 0 of sample 0 names \[-1, 0, 1\]",
    ),
    "flat": (
        {"m": np.zeros((3, 6)) < 1, "p": values(3, 6, 2), "t": 0 * CELLS},
        {"cells": "t"},
        "2 of 2 cells of sample 0 are degenerate",
    ),
    "fractions": (
        {"m": np.zeros((3, 6)) < 1, "t": CELLS + 0.5},
        {"cells": "t"},
        r"whole numbers; cell 0 of sample 0 is \[0.5, 1.5, 2.5\]",
    ),
    "empty": ({"m": np.zeros((3, 6), bool)}, {}, "Sample 0 has no points"),
    "no points": ({"p": values(3, 0, 2)}, {}, r"positions \(p \(3, 0, 2\) float64\) are empty"),
    "fields": ({"u": values(3, 5)}, {}, "does not show which axis counts 6 points"),
    "samples": ({"u": values(4, 6)}, {}, "All arrays hold the same samples"),
    "box": ({}, {"box": [[0, 0], [0.5, 1]]}, "points of sample 0 lie outside of the box"),
    "corners": ({}, {"box": [[0, 0], [0, 1]]}, "lower and a larger upper corner"),
    "name": ({}, {"positions": "q"}, r"got q. The arrays of these arrays are p \(3, 6, 2\)"),
    "member": ({}, {"cloud": "q"}, "got cloud"),
    "flat positions": ({"p": values(3, 6)}, {}, "--axes p=point,coordinate"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays(tmp_path, name):
    changed, members, message = BAD[name]
    given = {k: v for k, v in {**arrays(), **changed}.items() if v is not None}
    points = {"positions": "p", **({"mask": "m"} if "m" in given else {}), **members}
    with pytest.raises(ValueError, match=message):
        convert(given, tmp_path / "a.h5", targets=["u"], points=points)
    assert os.listdir(tmp_path) == []


def test_options_of_grids_are_refused(tmp_path):
    folder = elasticity(tmp_path / "elasticity")
    grid = {"extent": 1.0, "boundary": "neumann"}
    for more, named in (
        ({"grid": grid}, "extent, boundary"),
        ({"grid": Grid((4,))}, "grid"),
        ({"stride": 2}, "stride"),
        ({"allow_nan": True}, "allow_nan"),
    ):
        with pytest.raises(ValueError, match=f"got {named}. Leave these out"):
            convert(folder, tmp_path / "a.h5", **more)
    with pytest.raises(ValueError, match="defines its points itself; got mask"):
        convert(folder, tmp_path / "a.h5", points={"mask": "m", "box": [[0, 0], [1, 1]]})
    grid = {"a": values(3, 8, 8), "u": values(3, 8, 8)}
    np.savez(tmp_path / "grid.npz", **grid)
    with pytest.raises(ValueError, match="Name the array of the positions too"):
        convert(tmp_path / "grid.npz", tmp_path / "a.h5", points={"mask": "a"})
    with pytest.raises(ValueError, match=r"got grid\. Leave these out"):
        open_dataset(folder, grid={"extent": 1.0})


def test_a_file_of_the_project_is_converted_again(tmp_path):
    convert(elasticity(tmp_path / "elasticity"), tmp_path / "a.h5")
    convert(tmp_path / "a.h5", tmp_path / "b.h5", targets=["sigma"], without=[0, 2])
    a, b = open_dataset(tmp_path / "a.h5"), open_dataset(tmp_path / "b.h5")
    for mine, theirs in ((0, 1), (2, 4)):
        for name, u in b[mine].members().items():
            assert torch.equal(u, a[theirs].get(name)), name
    with pytest.raises(ValueError, match="is a file of the project already"):
        convert(tmp_path / "a.h5", tmp_path / "c.h5")
    with pytest.raises(ValueError, match="defines its points itself; got weights"):
        convert(tmp_path / "a.h5", tmp_path / "c.h5", targets=["sigma"], points={"weights": "w"})


@pytest.mark.parametrize("axes", ["sample,point,time", "sample,coordinate", "sample,point,point"])
def test_axes_that_do_not_fit(tmp_path, axes):
    with pytest.raises(ValueError, match=r"of sample, point and coordinate, with point and"):
        convert(
            arrays(), tmp_path / "a.h5", targets=["u"], axes={"p": axes}, points={"positions": "p"}
        )


class TestMeshes:
    """One file for each sample, in the order of their numbers."""

    @pytest.fixture(autouse=True)
    def _meshio(self):
        pytest.importorskip("meshio")

    @pytest.mark.parametrize("suffix", ["vtu", "vtk", "msh"])
    def test_a_folder(self, tmp_path, suffix):
        folder = tmp_path / "meshes"
        folder.mkdir()
        sizes = {2: 3, 10: 5, 1: 4}
        for number, n in sizes.items():
            mesh = square(n, kind="triangle")
            mesh.cells = mesh.cells[suffix == "msh" :]  # that writer takes one kind of cells
            mesh.write(folder / f"case{number}.{suffix}", "gmsh" if suffix == "msh" else None)
        with pytest.raises(ValueError, match=r"fields T, v.*--target T"):
            open_dataset(folder)
        data = open_dataset(folder, targets=["T"], dtype=torch.float64)
        assert (data.inputs, data.targets) == (("x", "y"), ("T",))
        assert data.source.counts.tolist() == [16, 9, 25]
        for i in range(3):
            x, y = data[i].positions
            assert torch.allclose(data[i].target[0], x + 2 * y)
            assert data.points(i).volume == pytest.approx(1)
        convert(folder, tmp_path / "a.h5", inputs=["v"], targets=["T"])
        own = open_dataset(tmp_path / "a.h5", dtype=torch.float64)
        assert own.inputs == ("v_0", "v_1", "v_2")
        assert torch.equal(own.points(1).cells, data.points(1).cells)
        assert torch.allclose(own.read([0, 2]).weights, data.read([0, 2]).weights)

    def test_several_kinds_of_cells_become_triangles(self, tmp_path):
        square(4, kind="both").write(tmp_path / "a.vtu")
        data = open_dataset(tmp_path / "a.vtu", targets=["T"])
        assert len(data) == 1
        assert data.points(0).cells.shape == (18, 3)
        assert any("divided into simplices" in note for note in data.notes)
        assert inspect(tmp_path / "a.vtu")["format"] == "meshes"
        square(4, z=True).write(tmp_path / "b.vtu")
        tilted = open_dataset(tmp_path / "b.vtu", targets=["T"])
        assert tilted.inputs == ("x", "y", "z")
        assert tilted.points(0).volume == pytest.approx(2**0.5)

    def test_a_hexahedron_becomes_tetrahedra_of_its_orientation(self, tmp_path):
        import meshio

        square = [[0, 0], [1, 0], [1, 1], [0, 1]]
        points = np.array([[*x, z] for z in (0, 1) for x in square] + [[2, 0, 0]]) * 1.0
        cells = [("hexahedron", [list(range(8))]), ("tetra", [[1, 2, 5, 8]])]
        meshio.Mesh(points, cells, point_data={"T": points[:, 0]}).write(tmp_path / "a.vtu")
        data = open_dataset(tmp_path / "a.vtu", targets=["T"])
        data.check()
        assert data.points(0).cells.shape == (7, 4)
        assert data.points(0).volume == pytest.approx(1 + 1 / 6)

    def test_inverted_cells_are_named(self, tmp_path):
        mesh = square(4, kind="triangle")
        mesh.cells[1].data[5] = mesh.cells[1].data[5][::-1]
        mesh.write(tmp_path / "a.vtu")
        with pytest.raises(ValueError, match=r"1 of 18 cells of sample 0 are inverted.*cell 5"):
            convert(tmp_path / "a.vtu", tmp_path / "a.h5", targets=["T"])
        with pytest.raises(ValueError, match=r"a.vtu: 1 of 18 cells"):
            open_dataset(tmp_path / "a.vtu", targets=["T"]).check()
        assert not (tmp_path / "a.h5").exists()

    def test_cells_that_name_no_points(self, tmp_path):
        mesh = square(3, kind="triangle")
        mesh.cells[1].data[2] = [0, 1, 99]
        mesh.write(tmp_path / "a.vtu")
        for read in (
            lambda: convert(tmp_path / "a.vtu", tmp_path / "a.h5", targets=["T"]),
            lambda: open_dataset(tmp_path / "a.vtu", targets=["T"]).check(),
        ):
            with pytest.raises(ValueError, match=r"cell 2 of sample 0 names \[0, 1, 99\]"):
                read()

    def test_fields_with_other_components(self, tmp_path):
        folder = tmp_path / "meshes"
        folder.mkdir()
        mesh = square(3)
        mesh.point_data["S"] = np.zeros((9, 2, 2))
        mesh.write(tmp_path / "tensor.xdmf")
        data = open_dataset(tmp_path / "tensor.xdmf", targets=["T"])
        assert any("axes of components are not read: S" in note for note in data.notes)
        del mesh.point_data["S"]
        mesh.write(folder / "a.vtu")
        mesh.point_data["T"] = mesh.points[:, :2]
        mesh.write(folder / "b.vtu")
        with pytest.raises(ValueError, match=r"T has the components \(2,\) in b and \(\) in a"):
            open_dataset(folder, targets=["T"])

    def test_damaged_files(self, tmp_path):
        (tmp_path / "a.vtu").write_bytes(b'<VTKFile type="UnstructuredGrid"><Piece')
        with pytest.raises(ValueError, match=r"a\.vtu is a mesh that meshio cannot read"):
            open_dataset(tmp_path / "a.vtu", targets=["T"])
        (tmp_path / "b.data").write_bytes(b"<html>quota</html>")
        with pytest.raises(ValueError, match="HTML"):
            open_dataset(tmp_path / "b.data", targets=["T"])
