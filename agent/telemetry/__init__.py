"""What leaves the robot: broker, log, watchdog."""
