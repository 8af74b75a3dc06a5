"""The parts that Spark jobs share, and their submission."""
