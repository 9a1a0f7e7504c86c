"""Planar lidars, one module per wire protocol."""
