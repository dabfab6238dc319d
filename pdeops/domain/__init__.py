"""Where fields live: uniform grids of a box, grids of a sphere, and scattered points."""
