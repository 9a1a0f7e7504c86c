"""The unix socket through which the command line talks to the daemon."""
