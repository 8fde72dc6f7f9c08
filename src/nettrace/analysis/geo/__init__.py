"""Distance, light and place: floors under every RTT, and what they prove impossible. Pure."""
