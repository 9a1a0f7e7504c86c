"""Zones of the platform: what they ask of the robot, and what it has to ask for (3.0, 6.4)."""
