"""One PDE, one file: random inputs, the solver, and the spec of a data set."""
