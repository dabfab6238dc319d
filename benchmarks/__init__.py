"""Benchmarks as data: each compares our work with a reference, in one run. `python -m benchmarks`."""
