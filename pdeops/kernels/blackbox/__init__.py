"""Black-box multigrid."""
