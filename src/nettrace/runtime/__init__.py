"""Settings and logs of a running program."""
