"""Forecasts of a series, offered only where they have beaten the naive ones on data of that very series."""
