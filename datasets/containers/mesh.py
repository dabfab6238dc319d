"""Meshes that meshio reads (the extra `mesh`): a file, or a folder with a file for each sample."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .store import Array, Key, Store

DESCRIPTION = "meshes of meshio (vtu, vtk, msh and others), a file or a folder of files"

# First bytes -> format of meshio; other formats are known by the suffix of the file.
_HEADS = {
    b"<VTKFile": "vtu",
    b"<Xdmf": "xdmf",
    b"# vtk DataFile": "vtk",
    b"$MeshFormat": "gmsh",
}
_SUFFIXES = (
    *(".vtu", ".vtk", ".msh", ".mesh", ".med", ".inp", ".bdf", ".nas", ".fem", ".su2", ".off"),
    *(".obj", ".ply", ".stl", ".xdmf", ".xmf", ".cgns", ".exo", ".ugrid"),
)
# Kinds of cells -> dimension, and its division into simplices; None: kept as it is.
_QUAD = ((0, 1, 2), (0, 2, 3))
_CELLS: dict[str, tuple[int, tuple[tuple[int, ...], ...] | None]] = {
    "line": (1, None),
    "triangle": (2, None),
    "quad": (2, _QUAD),
    "tetra": (3, None),
    "hexahedron": (
        3,
        ((0, 1, 2, 6), (0, 2, 3, 6), (0, 3, 7, 6), (0, 7, 4, 6), (0, 4, 5, 6), (0, 5, 1, 6)),
    ),
}


def recognises(path: Path, head: bytes) -> bool:
    """Whether this is a mesh, or a folder of nothing but meshes."""
    if path.is_dir():
        files = _files(path)
        return bool(files) and all(_format(f, _head(f)) is not None for f in files)
    return _format(path, head) is not None


def store(path: Path) -> "MeshStore":
    """The points, the cells and the data at the points of each file.

    Raises:
        ImportError: meshio is not installed.
        ValueError: a file is damaged, or the meshes differ in the dimension of their cells or in
            the components of a field.
    """
    return MeshStore(path)


def _files(path: Path) -> list[Path]:
    """The files of a folder in the order of the numbers in their names."""
    if path.is_file():
        return [path]
    files = [f for f in path.iterdir() if f.is_file() and not f.name.startswith(".")]
    return sorted(files, key=lambda f: [int(p) if p.isdigit() else p for p in _parts(f.name)])


def _parts(name: str) -> Sequence[str]:
    return re.split(r"(\d+)", name)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _format(path: Path, head: bytes) -> str | None:
    """The format of meshio, "" where its suffix shows it; None if it is no mesh."""
    return known_by(head) or ("" if path.suffix.lower() in _SUFFIXES else None)


def known_by(head: bytes) -> str | None:
    """The format of meshio that the first bytes show; None if they show none."""
    for start, name in _HEADS.items():
        if start in head and head.lstrip().startswith((start, b"<?xml")):
            return name
    return None


class MeshStore(Store):
    """The arrays SAMPLE/points (n, d), SAMPLE/cells (m, corners) and SAMPLE/FIELD (n) or (n, c) of
    each file, SAMPLE the name of the file.

    Every file is read once when the store is opened, to know its shapes, and again when its values
    are asked for. Third coordinates that are zero in all files are left out. Of several kinds of
    cells those of the highest dimension are kept; if they are of several kinds, or quadrilaterals
    in space, they are divided into triangles or tetrahedra.

    Attributes:
        samples: names of the files, without suffix.
        fields: names of the data at points that all files have.
        notes: what was left out or divided.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        files = _files(path)
        self._files = {f.stem: f for f in files}
        if len(self._files) < len(files):
            raise ValueError(f"Two meshes in {path} have the same name. Rename one.")
        self.samples = tuple(self._files)
        meshes = (_read(f) for f in files)
        facts = [_facts(mesh, f) for f, mesh in zip(files, meshes, strict=True)]
        self.num_coordinates = max(fact["coordinates"] for fact in facts)
        self.kinds = tuple(sorted({kind for fact in facts for kind in fact["kinds"]}))
        self._check_components(facts)
        dimensions = {fact["dimension"] for fact in facts}
        if len(dimensions) != 1:
            raise ValueError(
                f"The meshes in {path} have cells of dimensions {sorted(dimensions)}. Put meshes "
                f"of one dimension into a folder."
            )
        self.divided = len(self.kinds) > 1 or ("quad" in self.kinds and self.num_coordinates > 2)
        self.fields = tuple(
            n for n in facts[0]["fields"] if all(n in fact["fields"] for fact in facts)
        )
        self.notes = tuple(self._notes(facts))
        for sample, fact in zip(self.samples, facts, strict=True):
            self._describe(sample, fact)

    def _check_components(self, facts: Sequence[dict[str, Any]]) -> None:
        """Raise a ValueError if a field has other components in one file than in another."""
        for sample, fact in zip(self.samples, facts, strict=True):
            for name, (shape, _) in fact["fields"].items():
                first = facts[0]["fields"].get(name, (shape, None))[0]
                if shape[1:] != first[1:]:
                    raise ValueError(
                        f"{name} has the components {shape[1:]} in {sample} and {first[1:]} in "
                        f"{self.samples[0]} of {self.path}. Rename one of them."
                    )

    def _notes(self, facts: Sequence[dict[str, Any]]) -> list[str]:
        notes = ["the coordinates of the points are the input unless a field is named as one"]
        if self.divided:
            notes.append(f"cells ({', '.join(self.kinds)}) are divided into simplices")
        left_out = sorted({n for fact in facts for n in fact["fields"]} - set(self.fields))
        if left_out:
            notes.append(f"not in all files, and not read: {', '.join(left_out)}")
        tensors = sorted({n for fact in facts for n in fact["tensors"]})
        if tensors:
            notes.append(f"data with several axes of components are not read: {', '.join(tensors)}")
        on_cells = sorted({n for fact in facts for n in fact["cell_fields"]})
        if on_cells:
            notes.append(f"data of cells are not read: {', '.join(on_cells)}")
        return notes

    def _describe(self, sample: str, fact: dict[str, Any]) -> None:
        n = fact["points"]
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "points": ((n, self.num_coordinates), np.float64)
        }
        if self.kinds:
            per = {k: len(_CELLS[k][1] or (0,)) if self.divided else 1 for k in self.kinds}
            count = sum(fact["kinds"].get(kind, 0) * per[kind] for kind in self.kinds)
            corners = fact["dimension"] + 1 if self.divided else _corners(self.kinds[0])
            shapes["cells"] = ((count, corners), np.int64)
        shapes |= {name: fact["fields"][name] for name in self.fields}
        for name, (shape, dtype) in shapes.items():
            self.add(Array(f"{sample}/{name}", shape, np.dtype(dtype), "a file for each sample"))

    def _open(self) -> Any:
        return lru_cache(maxsize=4)(_read)

    def read(self, name: str, key: Key) -> np.ndarray:
        """The block, from the file of its sample."""
        sample, _, variable = name.partition("/")
        mesh = self.handle(self._files[sample])
        if variable == "points":
            u = np.asarray(mesh.points, np.float64)[:, : self.num_coordinates]
        elif variable == "cells":
            u = self._cells_of(mesh)
        else:
            u = np.asarray(mesh.point_data[variable])
        return u[key]

    def _cells_of(self, mesh: Any) -> np.ndarray:
        parts = []
        for block in mesh.cells:
            if block.type in self.kinds:
                pieces = _CELLS[block.type][1] if self.divided else None
                data = np.asarray(block.data, np.int64)
                parts += [data] if pieces is None else [data[:, list(p)] for p in pieces]
        return np.concatenate(parts)


def _corners(kind: str) -> int:
    return {"line": 2, "triangle": 3, "quad": 4, "tetra": 4, "hexahedron": 8}[kind]


def _facts(mesh: Any, path: Path) -> dict[str, Any]:
    """Numbers of points and cells, names and shapes of the fields of a mesh.

    Raises:
        ValueError: it has no points, or cells of the highest dimension that are not known.
    """
    x = np.asarray(mesh.points)
    if x.size == 0:
        raise ValueError(f"{path} has no points. Leave it out.")
    dimension = {b.type: b.dim for b in mesh.cells if b.dim > 0}
    highest = max(dimension.values(), default=0)
    unknown = [k for k, d in dimension.items() if d == highest and k not in _CELLS]
    if unknown:
        raise ValueError(
            f"{path} has cells of kind {', '.join(unknown)}; pdeops reads {', '.join(_CELLS)}. "
            f"Save the mesh with linear cells of these kinds."
        )
    kinds: dict[str, int] = {}
    for b in mesh.cells:
        if b.dim == highest > 0:
            kinds[b.type] = kinds.get(b.type, 0) + len(b.data)
    coordinates = x.shape[1]
    if coordinates == 3 and not x[:, 2].any():
        coordinates = 2
    data = {n: np.asarray(u) for n, u in mesh.point_data.items() if not n.startswith("gmsh:")}
    data = {n: u for n, u in data.items() if u.dtype.kind in "biuf"}
    return {
        "points": len(x),
        "coordinates": coordinates,
        "kinds": kinds,
        "dimension": highest,
        "fields": {n: (u.shape, u.dtype) for n, u in data.items() if u.ndim <= 2},
        "tensors": [n for n, u in data.items() if u.ndim > 2],
        "cell_fields": list(mesh.cell_data),
    }


def _read(path: Path) -> Any:
    """The mesh of a file.

    Raises:
        ImportError: meshio is not installed.
        ValueError: meshio cannot read the file.
    """
    try:
        import meshio
    except ImportError as error:
        raise ImportError(
            f"{path} is a mesh, and meshio, which reads it, is not installed. Install it with: "
            f"pip install 'pdeops[mesh]'"
        ) from error
    try:
        return meshio.read(path, file_format=_format(path, _head(path)) or None)
    except (Exception, SystemExit) as error:  # meshio ends the process for some damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is a mesh that meshio cannot read ({reason}).") from None
