"""Generation of data sets with any number of workers."""
