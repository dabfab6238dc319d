"""Discrete operators on a grid, and their recognition in a sparse matrix."""
