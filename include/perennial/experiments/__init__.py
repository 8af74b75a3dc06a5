"""Named experiments: the same history under other settings."""
