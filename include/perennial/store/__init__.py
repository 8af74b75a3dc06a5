"""Objects: conditional writes, and pointers that move on a condition."""
