"""What is kept, and how it is asked for: one port, the embedded store behind it, and room for others."""
