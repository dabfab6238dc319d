"""Our work beside a reference, timed in one run: `python -m benchmarks`."""
