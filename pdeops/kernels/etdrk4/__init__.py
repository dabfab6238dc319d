"""The sums of an ETDRK4 step."""
