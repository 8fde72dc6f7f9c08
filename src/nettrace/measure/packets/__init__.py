"""Wire formats, pure: bytes in, values out, and back. Parsers raise `PacketError` and nothing else."""
