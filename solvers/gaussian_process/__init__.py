"""Gaussian-process solvers for equations with high and with many frequencies."""
