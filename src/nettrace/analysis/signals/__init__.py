"""Streaming detectors: one series in, signals with stated error rates out. Pure; constant memory a series."""
