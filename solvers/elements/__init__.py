"""Finite elements on meshes of quadrilaterals between two closed curves; needs scikit-fem."""
