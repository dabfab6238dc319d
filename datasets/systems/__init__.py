"""Linear systems with known errors: what networks inside solvers are trained on."""
