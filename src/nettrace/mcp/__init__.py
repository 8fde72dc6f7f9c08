"""The door for assistants: the hub's reads, measuring and a few operations as tools of the Model Context Protocol."""
