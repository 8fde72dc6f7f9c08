"""Shapes that cross machines and programs. Pure."""
