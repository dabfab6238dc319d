"""The product of a sparse matrix with fields in plain torch: twin of `sparse/cpu.py`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import scipy.sparse


def multiply(matrix: Tensor, u: Tensor) -> Tensor:
    """A u for each row of u (m, n); any device, differentiable in u."""
    return torch.sparse.mm(matrix, u.T).T


def tensor(matrix: "scipy.sparse.csr_array", device: torch.device, dtype: torch.dtype) -> Tensor:
    """The matrix as torch's sparse tensor."""
    coo = matrix.tocoo()
    index = torch.stack([torch.from_numpy(i).long() for i in (coo.row, coo.col)])
    values = torch.from_numpy(coo.data)
    sparse = torch.sparse_coo_tensor(
        index, values, matrix.shape, is_coalesced=True, check_invariants=False
    )
    return sparse.to(device=device, dtype=dtype)


def multiply_entries(arrays: Sequence[Tensor], u: Tensor) -> Tensor:
    """A u for each row of u (m, n), from the CSR arrays of A, by operations on dense tensors:
    graphs of torch.export hold no sparse ones."""
    starts, columns, values = (array.to(u.device) for array in arrays)
    rows = torch.repeat_interleave(starts.diff(), output_size=len(columns))
    v = u.new_zeros(len(u), len(starts) - 1)
    return v.index_add(1, rows, values.to(u) * u[:, columns])
