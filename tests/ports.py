"""Ports for servers that start later, or again and again, while other tests and clients take ports beside them."""

import socket


def held_port() -> socket.socket:
    """A port of loopback that the kernel gives nobody else while this is open, and a server that names it may listen on."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held
