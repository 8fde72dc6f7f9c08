"""Quantiles of many samples in few bytes, merged without loss."""
