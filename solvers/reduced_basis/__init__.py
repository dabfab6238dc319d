"""Reduced bases: POD, Galerkin projection, regression of coefficients."""
