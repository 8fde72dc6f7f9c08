"""What every engine behind a port must do, as checks that an engine's tests run."""
