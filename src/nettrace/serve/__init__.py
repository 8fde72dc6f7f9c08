"""One server of all doors: the API and the pages on one service. Composition only."""
