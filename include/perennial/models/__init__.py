"""Trained models: scoring their graphs, and the metrics of their predictions."""
