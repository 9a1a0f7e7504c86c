"""What the robot can do beside driving: actions of orders and at once, and in which order."""
