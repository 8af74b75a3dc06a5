"""Named experiments: the same history with other settings."""
