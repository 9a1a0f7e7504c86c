"""Every compiled function of the agent, and nothing else."""
