"""Incomplete Cholesky, triangular solves and SOR on sparse matrices."""
