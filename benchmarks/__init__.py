"""Benchmarks that time our code and a reference alternately in one run: `python -m benchmarks`."""
