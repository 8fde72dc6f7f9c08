"""What every long-running part needs: logs and metrics."""
