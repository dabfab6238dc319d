"""Means over connected regions of a field."""
