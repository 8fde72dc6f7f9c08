"""The embedded store: SQLite for the control plane, live log, latest and hot rows; a Parquet file for each sealed day."""
