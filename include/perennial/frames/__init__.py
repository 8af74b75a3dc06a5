"""The results of a pipeline as pandas DataFrames, for notebooks and scripts."""
