"""Writing a data set, sample by sample, by any number of workers."""
