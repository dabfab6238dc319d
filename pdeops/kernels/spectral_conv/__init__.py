"""Spectral convolution."""
