"""Time-dependent equations: one equation, one file."""
