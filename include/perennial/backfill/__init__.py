"""Backfills: planning, batches of dates, Airflow's API."""
