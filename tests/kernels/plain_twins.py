"""With PDEOPS_KERNELS=reference every operation runs its plain twin, and no compiled loop exists.

`test_forms.py` runs it in a process of its own, because the variable is read at import.
"""

import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

import pdeops.kernels
from pdeops.cli.kernels import forms_on, operations
from pdeops.domain import Grid
from pdeops.models import GraphInverse
from pdeops.nn.multigrid import MultigridCycle
from pdeops.solvers import (
    SSOR,
    AggregationCycle,
    AlgebraicMultigrid,
    ApproximateInverse,
    Diffusion,
    FactoredApproximateInverse,
    IncompleteCholesky,
    Multigrid,
    cg,
    recognise,
)

from .contract_rows import ROWS
from .test_contract import draw

FOLDER = Path(pdeops.kernels.__file__).parent
# The twin of `fno` is composed of operations, that of `convolution` a function of torch.
TWINS = {"fno": "composed.py", "convolution": "__init__.py"}


def systems():
    """Solutions with every operation on matrices and hierarchies."""
    grid = Grid((32, 31))
    random = np.random.default_rng(0)
    a = torch.from_numpy(random.uniform(0.1, 3.0, grid.shape))
    A, constant = Diffusion(a, grid), Diffusion(1.0, Grid((65, 65)))
    b = torch.from_numpy(random.standard_normal(A.grid.shape))
    yield A, Multigrid(A), b
    yield constant, Multigrid(constant), torch.ones(63, 63, dtype=torch.float64)
    for M in (
        AggregationCycle,
        AlgebraicMultigrid,
        ApproximateInverse,
        FactoredApproximateInverse,
        GraphInverse().on,
        IncompleteCholesky,
    ):
        yield A, M(A), b
    yield A, SSOR(A, 1.5), b
    nine = sp.kron(*[sp.diags_array([1.0, 4.0, 1.0], offsets=(-1, 0, 1), shape=(9, 9))] * 2)
    found = recognise(sp.csr_array(sp.eye_array(81) * 60 - nine))
    stencil = found.stencil
    assert stencil is not None, found
    yield stencil, Multigrid(stencil), torch.ones(stencil.grid.shape, dtype=torch.float64)


def executed():
    """The files of pdeops.kernels whose functions ran, by folder."""
    files = set()

    def note(frame, event, argument):
        if frame.f_code.co_name not in ("<module>", "unfit"):  # an import, and a question
            files.add(frame.f_code.co_filename)

    sys.setprofile(note)
    MultigridCycle(2, 3, Grid((5, 4)), levels=2)(torch.ones(1, 2, 5, 4))
    for name, row in ROWS.items():
        if name.startswith("multichannel_cycle"):
            continue  # these rows call the steps of a GPU themselves
        row.operation(*draw(row, row.sizes[0], row.dtypes[-1]))
    for A, M, b in systems():
        assert cg(A, b, M=M, rtol=1e-9).converged, (A, M)
    sys.setprofile(None)
    found = {}
    for file in map(Path, files):
        if FOLDER in file.parents:
            found.setdefault(file.parent.name, set()).add(file.name)
    return found


def main():
    torch.set_grad_enabled(False)
    found = executed()
    for name, forms in operations().items():
        assert forms.only_twin, name
        twin = TWINS.get(name, "reference.py")
        assert twin in found[name], f"{name}: {twin} did not run, but {sorted(found[name])}"
        fast = {f"{form}.py" for form in forms.by_device.values()} | {"cpu.py", "gpu.py"}
        assert not fast & found[name], f"{name}: {sorted(fast & found[name])} ran"
    assert (
        {*forms_on("cpu").values()}
        == {*forms_on("cuda").values()}
        == {"reference: PDEOPS_KERNELS=reference"}
    )
    compiled = [m for m in sys.modules if m.split(".")[0] in ("numba", "triton")]
    assert not compiled, f"{compiled[:3]} were imported"


if __name__ == "__main__":
    main()
