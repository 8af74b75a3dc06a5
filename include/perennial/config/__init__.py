"""pipeline.yaml: its contract, and its reader, which reports all problems at once."""
