"""The operations, a module for each kind of question. Handlers translate; `hub.query` decides."""
