"""The test kit, shipped so that plug-ins can use it: virtual time, simulated networks, conformance suites."""
