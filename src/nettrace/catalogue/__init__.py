"""What is watched: checked-in facts with sources, and the user's own files."""
