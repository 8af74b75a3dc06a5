"""The learning tasks: how labels are read, and predictions answered and judged."""
