"""Pivots of a factorisation, for the loops and their twin."""

NULL = 1e-8  # a pivot below this fraction of its diagonal is zero up to round-off: A is singular
