"""Setting up a robot: which device is where."""
