"""Maps and zone sets on the robot: fetched from the platform's servers, kept, made ready to use."""
