"""A new pipeline from CSV files: a sample is read and described, and a folder of YAML and SQL is written."""
