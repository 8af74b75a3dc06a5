"""pipeline.yaml: what it may say, reading it, every problem at once."""
