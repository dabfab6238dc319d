"""The rows of the contract of every operation (`test_contract.py`): its fields, the operation and
its plain twin."""

import math

import scipy.sparse
import torch

from pdeops.kernels import (
    conjugate,
    diffusion,
    etdrk4,
    low_storage,
    regions,
    sparse,
    sweeps,
    vorticity,
)
from pdeops.kernels.conjugate import reference as conjugate_reference
from pdeops.kernels.diffusion import reference as diffusion_reference
from pdeops.kernels.etdrk4 import reference as etdrk4_reference
from pdeops.kernels.low_storage import reference as low_storage_reference
from pdeops.kernels.regions import reference as regions_reference
from pdeops.kernels.sparse import reference as sparse_reference
from pdeops.kernels.sweeps import reference as sweeps_reference
from pdeops.kernels.vorticity import reference as vorticity_reference

from .contract_row import COMPLEX, IN_PLACE, NO_GRAPH, SIZES, Row
from .contract_rows_multigrid import MULTIGRID
from .contract_rows_networks import NETWORKS


def exponential_step(bind):
    def step(u, Nu, Na, Nb, Nc, *factors):
        E, E2, Q, f1, f2, f3 = factors
        form, u = bind(u, E), u.clone()
        a, b = torch.empty_like(u), torch.empty_like(u)
        form.pair(E2, u, Q, Nu, a)
        form.last_stage(E2, a, Q, Nb, Nu, b)
        form.update(u, (E, f1, f2, f3), (Nu, Na, Nb, Nc))
        return a, b, u

    return step


def low_storage_step(bind):
    def step(u, h, N, decay, gain):
        update, u, h = bind(u, decay), u.clone(), h.clone()
        update(u, h, N, 0.0, decay, gain)
        update(u, h, N, -0.7, decay, gain)
        return u, h

    return step


def waves(n):
    return [(COMPLEX, (3, *n)) for _ in range(5)] + [n] * 6


def vorticity_steps(loops):
    """One after the other, with rows of K waves y and 2K + 1 waves x."""

    def steps(w, per_x, per_y, a, c):
        form = loops(w)
        K, num_l = w.shape[2] // 2, w.shape[1]
        nx, ny = 3 * K + 1, 3 * num_l
        rows = w.new_zeros(len(w), 2 * num_l - 1, nx)
        form.velocity(w, per_x, per_y, rows)
        wide = w.new_zeros(len(w), nx, ny)
        form.turn(rows, 0, nx, wide)
        z = wide.clone()
        form.products(z)
        back = w.new_zeros(len(w), 2 * K + 1, nx)
        form.turn(z.mT.contiguous()[:, : 2 * num_l - 1], K, 2 * K + 1, back.mT.contiguous().mT)
        square = torch.cat([rows, rows], 2)[..., : 3 * K + 1].contiguous()
        out = torch.empty_like(w)
        form.tendency(square, a, c, out)
        return rows, wide, z, out

    return steps


def conjugate_step(bind):
    """Two steps, the second with a β."""

    def step(p, Ap, x, r, z):
        p, Ap, x, r, z = (u.clone(memory_format=torch.preserve_format) for u in (p, Ap, x, r, z))
        z.add_(r, alpha=3)  # so that ⟨r, z⟩ and ⟨p, A p⟩ are positive
        form = bind(p, Ap, x, r, z)
        Ap.copy_(p)
        rz = form.direction(math.inf)
        Ap.copy_(2 * p)
        pAp, rr = form.descend(rz)
        again = form.direction(rz)
        return p, x, r, torch.tensor([rz, pAp, rr, again])

    return step


def labelled(n):
    """Two floating regions, one that does not float, and solid nodes."""
    labels = torch.zeros(n, dtype=torch.int64)
    labels[0], labels[1, ..., : n[-1] // 2], labels[2, ..., n[-1] // 2 :] = 1, 2, -1
    return labels


def project(u):
    return regions.Projection(labelled(u.shape[1:]), 2)(u)


def plain_project(u):
    """By masks."""
    labels = labelled(u.shape[1:])
    v = u * (labels >= 0)
    for region in (1, 2):
        inside = (labels == region).to(u)
        v = v - inside * (u * inside).flatten(1).sum(1).view(-1, *[1] * labels.ndim) / inside.sum()
    return v


def csr(n, symmetric=True):
    size = math.prod(n)
    T = scipy.sparse.diags_array(
        [-1.0, -0.3, 3.0, -0.3, -1.0], offsets=[-7, -1, 0, 1, 7], shape=(size,) * 2
    )
    return (
        scipy.sparse.csr_array(T) if symmetric else scipy.sparse.csr_array(scipy.sparse.tril(T, 1))
    )


def multiply(u):
    return sparse.Product(csr(u.shape[1:], symmetric=False))(u.flatten(1)).reshape(u.shape)


def bound_product(u):
    A = sparse.Product(csr(u.shape[1:], symmetric=False))
    return lambda u: A(u.flatten(1)).reshape(u.shape)


def dense(n, dtype, symmetric=True):
    return torch.from_numpy(csr(n, symmetric).toarray()).to(dtype)


def plain_multiply(u):
    return (u.flatten(1) @ dense(u.shape[1:], u.dtype, symmetric=False).T).reshape(u.shape)


def triangular_solves(form):
    """(Uᵀ U)⁻¹ u with IC(0)."""

    def solves(u):
        A = scipy.sparse.triu(csr(u.shape[1:])).tocsr()
        A.sort_indices()
        assert form.factor(A.indptr, A.indices, A.data, 0.0) == -1
        A.data[A.indptr[:-1]] = 1 / A.data[A.indptr[:-1]]
        b = u.flatten(1).contiguous()
        x = torch.empty_like(b)
        values = torch.from_numpy(A.data).to(u.dtype).numpy()
        form.solve(A.indptr, A.indices, values, b.numpy(), x.numpy())
        return x.reshape(u.shape)

    return solves


def symmetric_sweep(form):
    def sweep(u):
        A = csr(u.shape[1:])
        b = u.flatten(1).contiguous()
        x = torch.empty_like(b)
        scale = 1.3 / A.diagonal()
        form.sweep_from_zero(A.indptr, A.indices, A.data, scale, True, b.numpy(), x.numpy())
        return x.reshape(u.shape)

    return sweep


def faces(form):
    """The couplings along the last axis from a = exp(u); along the first axis the two end nodes are
    no unknowns, and the factors differ from node to node."""

    def couplings(u):
        shape = (u.shape[0] - 2, *u.shape[1:-1], u.shape[-1] - 1)
        along = [torch.linspace(0.5, 2, n, dtype=torch.float64) for n in shape]
        factors = diffusion.Factors(u.ndim - 1, shape, [*along[:-2], None, along[-1]])
        return form(u.exp(), factors, [1] + [0] * (u.ndim - 1))

    return couplings


ROWS = {
    **NETWORKS,
    **MULTIGRID,
    "diffusion.harmonic_faces": Row(
        faces(diffusion.harmonic_faces),
        faces(diffusion_reference.harmonic_faces),
        lambda n: [n],
        SIZES,
    ),
    "etdrk4": Row(
        exponential_step(etdrk4.bind),
        exponential_step(lambda u, E: etdrk4_reference),
        waves,
        SIZES,
        exempt=IN_PLACE,
    ),
    "low_storage": Row(
        low_storage_step(low_storage.bind),
        low_storage_step(lambda u, decay: low_storage_reference.update),
        lambda n: [(COMPLEX, (3, *n)) for _ in range(3)] + [n] * 2,
        SIZES,
        exempt=IN_PLACE,
    ),
    "vorticity": Row(
        vorticity_steps(lambda w: vorticity.bind(w, (8, 8)).loops),
        vorticity_steps(lambda w: vorticity_reference),
        lambda n: [(COMPLEX, (2, *n)), n, n, n, n],
        ((4, 7), (5, 9)),
        exempt=IN_PLACE | {"test_strided": "its buffers are contiguous by construction"},
    ),
    "conjugate": Row(
        conjugate_step(conjugate.bind),
        conjugate_step(conjugate_reference.Step),
        lambda n: [n] * 5,
        (*SIZES, (401, 403)),  # several blocks, the last one not full
        exempt=IN_PLACE | NO_GRAPH,
    ),
    "conjugate.dot_columns": Row(
        conjugate.dot_columns,
        lambda u, v: (u * v).flatten(1).sum(1),
        lambda n: [(3, *n)] * 2,
        (*SIZES, (401, 403)),
    ),
    "regions": Row(
        project,
        plain_project,
        lambda n: [(2, *n)],
        SIZES,
        graph=lambda u: regions.Projection(labelled(u.shape[1:]), 2),
    ),
    "regions.reference": Row(
        lambda u: regions_reference.project(
            u, labelled(u.shape[1:]), regions.Projection(labelled(u.shape[1:]), 2).weights
        ),
        plain_project,
        lambda n: [(2, *n)],
        SIZES,
        exempt={"test_graph": "`regions` records it"},
    ),
    "sparse": Row(
        multiply,
        plain_multiply,
        lambda n: [(2, *n)],
        ((1, 16), *SIZES),
        graph=bound_product,
    ),
    "sparse, one field": Row(
        multiply, plain_multiply, lambda n: [(1, *n)], SIZES, graph=bound_product
    ),
    "sparse.reference": Row(
        lambda u: sparse_reference.multiply(
            sparse_reference.tensor(csr(u.shape[1:], symmetric=False), u.device, u.dtype),
            u.flatten(1),
        ).reshape(u.shape),
        plain_multiply,
        lambda n: [(2, *n)],
        SIZES,
        exempt={"test_graph": "`sparse, for graphs` is recorded"},
    ),
    "sparse, for graphs": Row(
        lambda u: sparse.reference.multiply_entries(
            sparse.Product(csr(u.shape[1:], symmetric=False))._arrays, u.flatten(1)
        ).reshape(u.shape),
        plain_multiply,
        lambda n: [(2, *n)],
        SIZES[:2],
        graph=bound_product,
    ),
    "sweeps, IC(0)": Row(
        triangular_solves(sweeps),
        triangular_solves(sweeps_reference),
        lambda n: [(2, *n)],
        SIZES,
        exempt={"test_backward": "the loops record no gradient"} | NO_GRAPH,
    ),
    "sweeps, SSOR": Row(
        symmetric_sweep(sweeps),
        symmetric_sweep(sweeps_reference),
        lambda n: [(2, *n)],
        SIZES,
        dtypes=(torch.float64,),
        exempt={"test_backward": "the loops record no gradient"} | NO_GRAPH,
    ),
}
