"""The solver of a linear system as a user holds it, chosen by a look at the matrix."""
