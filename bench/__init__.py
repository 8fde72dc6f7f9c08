"""Benchmarks: NetTrace beside its rivals on one emulated net, with kernel stamps as truth (./dev bench)."""
