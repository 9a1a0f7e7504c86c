"""The onboard agent: measurements in, commands and telemetry out."""
