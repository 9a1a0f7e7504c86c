"""Where the robot is on the map, and how sure that is."""
