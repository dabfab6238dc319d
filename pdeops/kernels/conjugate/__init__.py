"""Vector updates of conjugate gradients."""
