"""Thousands of paths at once: the fast way through a list of targets."""
