"""Measuring on the real network: sockets, kernel time, capabilities. The only room that sends packets."""
