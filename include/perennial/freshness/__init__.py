"""Which results are fresh, and why others are not."""
