"""All that must stop the robot, made to happen while it drives at speed."""
