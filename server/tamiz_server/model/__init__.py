"""A verified bundle as a session that runs."""
