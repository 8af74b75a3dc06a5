"""Find the fresh results, and the reasons why other results are stale."""
