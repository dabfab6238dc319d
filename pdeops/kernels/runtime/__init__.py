"""Threads, memory and the compile cache of kernels."""
