"""The layer of the Fourier neural operator and its pointwise networks."""
