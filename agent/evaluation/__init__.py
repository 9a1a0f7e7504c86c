"""Measuring the agent on recordings: logs, trajectories and their errors."""
