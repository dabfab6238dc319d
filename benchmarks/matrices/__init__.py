"""From a matrix in memory to x: our default solver beside the strongest that can be installed."""
