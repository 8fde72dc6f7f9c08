"""One vantage: what is due, what was measured, and bringing it home."""
