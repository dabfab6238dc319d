"""Geometric and algebraic multigrid."""
