"""Byte-exact devices: what a real lidar or motor controller would say on the wire."""
