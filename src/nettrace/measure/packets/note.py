"""Who probes and why, in the packets themselves; a module of its own because a sweep needs nothing else of them."""

NOTE = b"nettrace https://github.com/nettrace/nettrace "
"""Stands in every ICMP and UDP probe that has room: an operator who sees it finds out who it is and why."""
