"""What keeps the robot from touching anything."""
