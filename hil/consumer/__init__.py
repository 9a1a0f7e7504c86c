"""Where a data team can start: takes the robots' history from the broker into a database."""
