"""Other people's data and services, each behind one small module."""
