"""The report of a range of dates: how well the retraining policy would have worked, day by day."""
