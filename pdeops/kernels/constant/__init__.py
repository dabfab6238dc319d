"""Geometric multigrid for a constant coefficient."""
