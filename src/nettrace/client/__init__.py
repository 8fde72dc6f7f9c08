"""NetTrace for other people's Python."""
