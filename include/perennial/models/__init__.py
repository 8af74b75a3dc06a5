"""Scoring with trained models, and metrics of their predictions."""
