"""The rules of a pipeline's SQL, shared by `validate` and the Spark jobs."""
