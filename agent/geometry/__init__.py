"""Planar geometry: poses, angles, polygons."""
