"""Pointwise work of the 2D vorticity equation."""
