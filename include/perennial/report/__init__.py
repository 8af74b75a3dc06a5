"""The report of a stretch of history: how the policy of retraining would have done, day by day."""
