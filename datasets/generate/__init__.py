"""Generation of data sets, sample by sample, by any number of workers."""
