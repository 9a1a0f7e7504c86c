"""Occupancy grids, their files, and the fields derived from them."""
