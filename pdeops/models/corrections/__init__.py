"""Networks inside solvers: maps of residuals to corrections."""
