"""Where jobs run: in the driver, in child processes, or on a Ray cluster."""
