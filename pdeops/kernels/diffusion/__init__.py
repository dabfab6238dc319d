"""The operator -div(a grad u) + c u."""
