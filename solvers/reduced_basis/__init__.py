"""Reduced bases: proper orthogonal decomposition, Galerkin projection, regression of coefficients."""
