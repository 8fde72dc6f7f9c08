"""Latency against markets: alignment without look-ahead, tests that can say "no evidence". Needs numpy; nothing trades."""
