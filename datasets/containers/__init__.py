"""How the bytes of a data file are kept."""
