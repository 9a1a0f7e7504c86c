"""The world as it is: robot dynamics and lidar physics. Knows nothing of the agent."""
