"""Learning a parameter of a solver while systems are solved."""
