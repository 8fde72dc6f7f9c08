"""The pages: what the hub knows, for eyes and keyboards. Rendered by the server first; scripts only refine."""
