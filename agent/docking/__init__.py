"""Docking: load carriers in a scan, and the manoeuvre that ends exactly under or before one."""
