"""Benchmarks: our code and a reference, timed by turns in one run: `python -m benchmarks`."""
