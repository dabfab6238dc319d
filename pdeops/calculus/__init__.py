"""Transforms, derivatives, quadrature and norms of fields on a domain."""
