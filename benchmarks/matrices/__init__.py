"""From a matrix in memory to x: our default solver against the strongest that can be installed."""
