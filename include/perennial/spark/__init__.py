"""The parts that Spark jobs share, and how they are submitted."""
