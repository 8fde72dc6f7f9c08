"""Measuring as pure state machines: they know no clock and no socket; time is an argument."""
