"""The path that an order asks for, and how far along it the robot is."""
