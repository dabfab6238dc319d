"""A method applied to the operator of a system; `solve.py` calls it until the residual is small."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ...kernels.runtime.threads import ours_alone
from ...linop import LinearOperator
from ..krylov.loop import knows_range
from ..result import SolveResult
from .methods import Method
from .system import System

NULL = 1e-9  # |S⁻¹ A v| / (|S⁻¹ A S⁻¹| |S v|) of a vector that may be one of the kernel
ROUND_OFF = 1e-14  # |vᵀ A v| / (|S⁻¹ A S⁻¹| |S v|²) of one that is


class Inner:
    """A system and a preconditioner built for it.

    Attributes:
        A: the operator that iterates.
        M: the preconditioner, or None.
        condition: of M A, once conjugate gradients have estimated it.
        final: no other method can do better: b has a part outside the range of A.
        nearly: b has a part outside the range of the operator, but A does not map that to zero: A
            is singular up to round-off only.
    """

    def __init__(self, system: System, method: Method, max_iterations: int) -> None:
        if why := method.obstacle(system):
            raise ValueError(
                f"{method.name} does not apply: {why}. `pdeops solve --list`, in Python "
                f"`pdeops.solvers.choices`, lists the methods that do."
            )
        self.system, self.method, self.max_iterations = system, method, max_iterations
        self.M: Any = method.build(system)
        self.A: LinearOperator = system.A
        grid = getattr(self.M, "grid", None)
        if grid is not None and grid.shape != system.A.grid.shape:
            self.A = system.matrix
        self.condition: float | None = None
        self.final = self.nearly = False

    @torch.no_grad()
    def solve(self, b: ndarray, rtol: float) -> tuple[ndarray, list[SolveResult]]:
        """x for the columns of b (n, k), and a result for each."""
        fields = self.system.fields(b, self.A)
        x, results = (
            self._direct(fields, rtol) if self.method.exact else self._iterate(fields, rtol)
        )
        if any(result.reason.startswith("inconsistent") for result in results):
            self.final = self._kernel_of_the_matrix(fields)
            self.nearly = not self.final
        return self.system.columns(x, self.A), results

    def _kernel_of_the_matrix(self, b: Tensor) -> bool:
        """Whether what the operator projects away is in the kernel of the matrix as given."""
        if not knows_range(self.A) or self.system.near_nullspace is not None:
            return True
        v = b - self.A.project(b)
        v = v - self.A.project(v)  # again, because of cancellation
        return self.system.annihilates(self.system.columns(v, self.A))

    def _direct(self, b: Tensor, rtol: float) -> tuple[Tensor, list[SolveResult]]:
        """M b once; `solve.py` calls again with the residual."""
        x = self.M.apply(b)
        right = self.A.project(b) if knows_range(self.A) else b
        # scipy's product, because our loops would be loaded for this alone.
        image = self.system.csr @ self.system.columns(x, self.A)
        r = (right - self.system.fields(image, self.A)).flatten(1).norm(dim=1)
        size = b.flatten(1).norm(dim=1)
        outside = (b - right).flatten(1).norm(dim=1)
        results = []
        for rel, out, field in zip((r / size).tolist(), (outside / size).tolist(), x, strict=True):
            true, reason = math.hypot(rel, out), ""
            if out > rtol and rel <= max(rtol, 1e-8):
                reason = (
                    f"inconsistent: {out:.1e} |b| of b is outside the range of A, which is "
                    f"singular; x solves the projected system, |P b - A x| = {rel:.1e} |b|"
                )
            elif not rel < 0.5:
                reason = (
                    f"no solution by {self.method.name}: |b - A x| = {rel:.1e} |b|; A is singular "
                    f"or too ill-conditioned for float64"
                )
            results.append(SolveResult(field, not reason, 1, [1.0, true], reason))
        return x, results

    def _iterate(self, b: Tensor, rtol: float) -> tuple[Tensor, list[SolveResult]]:
        if self.method.run is None and len(b) > 1:
            whole = self._cg(b, rtol)
            results = list(whole.columns)
        else:
            results = [self._one(field, rtol) for field in b]
        results = [
            result if result.converged else self._best(field, rtol, result)
            for field, result in zip(b, results, strict=True)
        ]
        return torch.stack([result.x for result in results]), results

    def _cg(self, b: Tensor, rtol: float) -> SolveResult:
        from ..krylov.cg import cg

        return cg(self.A, b, M=self.M, rtol=rtol, max_iterations=self.max_iterations)

    def _one(self, b: Tensor, rtol: float, limit: int | None = None) -> SolveResult:
        limit = self.max_iterations if limit is None else limit
        if self.method.run is not None:
            return self.method.run(self.A, self.M, b, rtol=rtol, max_iterations=limit)
        from ..krylov.conjugate_gradients import is_fused
        from ..krylov.lanczos import cg_and_condition

        with ours_alone() if is_fused(self.A, b, self.M) else nullcontext():
            result, condition = cg_and_condition(
                self.A, b, M=self.M, rtol=rtol, max_iterations=limit
            )
        self.condition = condition if math.isfinite(condition) else None
        return result

    def _best(self, b: Tensor, rtol: float, result: SolveResult) -> SolveResult:
        """The iterate of the smallest residual, and "singular" as the reason where A has a vector
        in its kernel, or close to it, that only the iteration has found."""
        singular = self._kernel_vector(result, b)
        if not np.isfinite(result.residuals).any():
            reason = f"{result.reason}; no iterate has a finite residual"
            return SolveResult(torch.zeros_like(b), False, result.iterations, [1.0], reason)
        best = int(np.nanargmin(result.residuals))
        if self.method.run is None and result.residuals[best] < 0.9 * result.residuals[-1]:
            # The method is deterministic: it is stopped at the best.
            condition = self.condition
            again = self._one(b, rtol, limit=best)
            self.condition = condition
            again.reason = f"{result.reason}; x is the best iterate"
            result = again
        if singular:
            result.reason = f"{singular}; x is the best iterate"
        return result

    def _kernel_vector(self, result: SolveResult, b: Tensor) -> str:
        """Where b has a part outside the range of A, x grows along the kernel.

        A v is judged in the scale of the diagonal, |S⁻¹ A v| against |S v| with s_i² = a_ii, which
        no diagonal scaling of a regular matrix changes. It stays a guess: other methods are tried.
        For |A v| = ε at an error δ of v the quotient vᵀ A v is ε δ if A is singular, but not below
        the least eigenvalue if A is regular: A is called singular if the quotient is round-off.
        """
        if result.reason.startswith("inconsistent"):
            return ""
        norm = result.x.norm()
        if not (norm.isfinite() and norm > 0):
            return ""
        v = result.x / norm
        csr, flat = self.system.csr, self.system.columns(v[None], self.A)[:, 0]
        diagonal = csr.diagonal()
        s = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        largest, length = float((abs(csr) @ (1 / s) / s).max()), float(np.linalg.norm(s * flat))
        size, Av = largest * length, csr @ flat
        image = float(np.linalg.norm(Av / s)) / size if size else 0.0
        part = abs(float((v * b).sum() / b.norm()))
        if image > NULL or part < 1e-10:
            return ""
        quotient = abs(float(flat @ Av)) / length**2 if length else 0.0
        found = f"in the scale of the diagonal |A v| = {image:.0e} |A| |v| for a v with"
        found = f"{found} ⟨b, v⟩ = {part:.1e} |b| |v|"
        if quotient <= ROUND_OFF * largest:
            return f"singular, and b is outside the range of A: {found}"
        # The largest eigenvalue of a matrix with unit diagonal is at least 1.
        return (
            f"A is singular, or its condition number is above {1 / quotient:.0e}: {found}; "
            f"{result.reason}"
        )
