"""One PDE, one file: random inputs, the solver, and what a data set says of itself."""
