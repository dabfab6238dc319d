"""Krylov methods, and the preconditioners without levels."""
