"""Route identity and change, and which leg is to blame: pure, one pair's traces at a time or many at once."""
