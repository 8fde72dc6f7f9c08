"""What numbers mean. All pure."""
