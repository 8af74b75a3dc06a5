"""Backfills: plans, batches of dates and Airflow's API."""
