"""Recognition of a stencil in a CSR matrix against ten products with the matrix by scipy.

Both sides return A u, ours by the recognised operator, so that a matrix that is recognised wrongly
fails the bench.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, recognise

from .bench import Bench

PRODUCTS = 10


class Product(NamedTuple):
    """A matrix and a vector."""

    matrix: Any
    u: Tensor


def lognormal(n: int, index: str) -> Product:
    """-div(a grad u) on n x n nodes with log a white noise, with indices of the given type."""
    generator = torch.Generator().manual_seed(0)
    grid = Grid((n, n), placement="interior")
    a = torch.randn(grid.shape, generator=generator, dtype=torch.float64).exp()
    matrix = Diffusion(a, grid).to_csr()
    matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    return Product(matrix, torch.randn(n * n, generator=generator, dtype=torch.float64))


def by_operator(problem: Product) -> Tensor:
    """The product after recognition."""
    found = recognise(problem.matrix)
    assert found.operator is not None, found.reason
    return found.extract(found.operator @ found.embed(problem.u))


def by_matrix(problem: Product) -> Tensor:
    """The product, `PRODUCTS` times."""
    u = problem.u.numpy()
    for _ in range(PRODUCTS - 1):
        problem.matrix @ u
    return torch.from_numpy(problem.matrix @ u)


BENCHES = [
    Bench(
        name=f"recognition{n}_{index}",
        size=f"{n} x {n} unknowns, log a white noise, {index} indices",
        dtype="float64",
        setup=partial(lognormal, n, index),
        work=by_operator,
        reference=by_matrix,
        work_name="recognition and one product (numba)",
        reference_name=f"{PRODUCTS} products (scipy)",
        tolerance=1e-12,
    )
    for n in (511, 1023)
    for index in ("int32", "int64")
]
